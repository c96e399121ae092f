"""Signs that the model leaves out of a line are restored from the shapes in its image.

Two equal marks, as in `//` and `&&`, are often read as one, and the apostrophes of 1'234'567.80 are left out. Where the
shapes of ink in a line are as many as the characters of its text, except for such signs, each shape belongs to a
character, and the missing ones are known.
"""

import re
from dataclasses import dataclass

import cv2
import numpy as np

from nanochat.lines.cut import Piece
from nanochat.lines.words import strip_of
from nanochat.reading.marks import INK, ink_of

LEAST_AREA = 4  # px: smaller shapes are dirt
OVERLAP = 0.4  # of the narrower of two shapes: those that overlap more are one character, such as i, : and =
SIDE = 16  # px: shapes are compared at this size
UNLIKE = 0.2  # largest mean difference of two equal shapes
UNEVEN = 0.15  # largest relative difference of their sides, and at least 1.5 px
RAISED, LOW = 0.55, 0.5  # of a digit's height: where an apostrophe ends at the latest, and its largest height
PAIRS = "/|&<>=-"  # marks that stand in twos
SHAPES = {'"': 2, "“": 2, "”": 2, "„": 2}  # characters of more than one shape side by side
BRACKET = 2.0  # least height of a bracket relative to its width
MOST = 6  # signs that are restored in one line
_MAY_LACK = re.compile(rf"\d{{4}}|[{re.escape(PAIRS)}(\[]")
_QUOTED = re.compile(r"(?<![\d.,'\"])\d{1,3}(?:['\"]\d{3}){2,}(?!\d)|(?<![\d.,'\"])\d{1,3}\"\d{3}(?=\.\d\d(?!\d))")
_GROUPS = re.compile(r"\d{3}(?:'?\d{3})*(?!\d)")


@dataclass(frozen=True)
class Shape:
    """The ink of one character in the image of a line."""

    left: int
    top: int
    right: int
    bottom: int
    pattern: np.ndarray
    """its ink, SIDE x SIDE, float32 from 0 to 1"""


def restore_signs(text: str, piece: Piece) -> str:
    """The text of a piece, with the apostrophes of its numbers and the second of two equal marks."""
    text = _QUOTED.sub(lambda number: number[0].replace('"', "'"), text)
    strip = strip_of(piece) if _MAY_LACK.search(text) else None
    return text if strip is None else with_missing(text, shapes_of(strip.contrast))


def shapes_of(contrast: np.ndarray) -> list[Shape]:
    """The shapes in a strip of a line, from left to right.

    contrast: difference of the pixels from the paper, float (H, W), 0 where there is no ink.
    """
    ink = ink_of(contrast)
    _, _, stats, _ = cv2.connectedComponentsWithStats((ink > INK).astype(np.uint8), connectivity=8)
    boxes: list[list[int]] = []
    for x, y, w, h, area in sorted(stats[1:].tolist()):
        if area < LEAST_AREA:
            continue
        if boxes and min(boxes[-1][2], x + w) - x > OVERLAP * min(w, boxes[-1][2] - boxes[-1][0]):
            last = boxes[-1]
            boxes[-1] = [last[0], min(last[1], y), max(last[2], x + w), max(last[3], y + h)]
        else:
            boxes.append([x, y, x + w, y + h])
    return [
        Shape(a, b, c, d, cv2.resize(ink[b:d, a:c], (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        for a, b, c, d in boxes
    ]  # fmt: skip


def with_missing(text: str, shapes: list[Shape]) -> str:
    """The text with the signs that only the shapes show; unchanged if these are not all that the text lacks."""
    missing = len(shapes) - sum(SHAPES.get(c, 1) for c in text if not c.isspace())
    if not 0 <= missing <= MOST:
        return text
    if missing == 1 and (bracket := _missing_bracket(text, shapes[-1], shapes)):
        return text + bracket
    found: list[str] = []
    at, skip = 0, False  # the next shape; whether the next character was replaced
    for i, c in enumerate(text):
        if c.isspace() or skip:
            found.append(c if c.isspace() else "")
            skip = False
            continue
        following = text[i + 1 : i + 2]
        if missing and _lacks_apostrophe(text, i) and _is_apostrophe(shapes, at):
            found.append("'")
            at, missing = at + 1, missing - 1
        if c in PAIRS and following != c and text[i - 1 : i] != c and _are_equal(shapes, at):
            if c in "<>-" and following == "=":
                skip = True
            elif missing:
                missing -= 1
            else:
                return text
            found.append(c)
            at += 1
        found.append(c)
        at += SHAPES.get(c, 1)
    return text if missing else "".join(found)


def _missing_bracket(text: str, last: Shape, shapes: list[Shape]) -> str:
    """The closing bracket that the end of a text lacks; empty if it lacks none. last: its last shape."""
    tall = sorted(shape.bottom - shape.top for shape in shapes)[len(shapes) // 2]
    is_bracket = last.bottom - last.top > max(tall, BRACKET * (last.right - last.left))
    lacking = [b for a, b in ("()", "[]") if text.count(a) == text.count(b) + 1]
    return lacking[0] if is_bracket and len(lacking) == 1 else ""


def _lacks_apostrophe(text: str, i: int) -> bool:
    """Whether an apostrophe may be missing before a character: between a digit and groups of three."""
    return i > 0 and text[i - 1].isdigit() and _GROUPS.match(text, i) is not None


def _is_apostrophe(shapes: list[Shape], at: int) -> bool:
    """Whether a shape is a small mark in the upper half of its neighbours."""
    if not 0 < at < len(shapes) - 1:
        return False
    mark, (top, bottom) = shapes[at], (shapes[at - 1].top, shapes[at - 1].bottom)
    height = bottom - top
    return mark.bottom < top + RAISED * height and mark.bottom - mark.top < LOW * height


def _are_equal(shapes: list[Shape], at: int) -> bool:
    """Whether a shape and the next one are about equal."""
    if at + 1 >= len(shapes):
        return False
    a, b = shapes[at : at + 2]
    for first, second in ((a.right - a.left, b.right - b.left), (a.bottom - a.top, b.bottom - b.top)):
        if abs(first - second) > max(1.5, UNEVEN * max(first, second)):
            return False
    return abs(a.top - b.top) <= 2 and float(np.abs(a.pattern - b.pattern).mean()) < UNLIKE
