"""Runs of equal marks, such as `<<<<<<`, `####` and `........`, are counted in the image.

The model recognises the mark but not always the number. In the image, a run is a row of equal shapes at equal
distances.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from nanochat.lines.cut import MARGIN, WORD_GAP, Piece, on_paper
from nanochat.lines.gutters import runs
from nanochat.lines.segment import text_box
from nanochat.lines.words import strip_of

MARKS = "<>/\\\\.=#*!?:;+~^|_&@$-"  # as written between the brackets of a regular expression
LEAST = 3  # marks of a run that are counted
_READ = re.compile(rf"([{MARKS}])(?: ?\S?\1){{1,}}")  # a run as it is read, perhaps with other characters in it
LONG_RUN = 5  # marks of a run after which a line is divided
SHARE = 0.7  # of the characters of such a run that are its mark
INK = 0.35  # of the strongest contrast
UNEVEN = 0.1  # type heights by which shapes and distances in a run may differ, and at least 1.5 px
BLUR = 3  # px: equal shapes can lie differently on the grid of pixels
UNLIKE = 0.25  # share of their ink in which two shapes may differ
SLACK, PER_CHARACTER = 2, 0.15  # characters, and share of them, by which the place of a run may be off


class MarkRun(NamedTuple):
    """Equal shapes in a row, in a picture of a line."""

    before: int
    """shapes left of the run; most characters are one"""
    n: int
    """shapes in the run"""
    after: int
    """shapes right of it"""
    end: int
    """first column after it"""
    next: int
    """first column of the shape right of it, or the width of the picture"""
    gap: int
    """columns between two of its shapes"""


def ink_of(contrast: np.ndarray) -> np.ndarray:
    """How dark the ink of a strip is, from 0 to 1 for its strongest contrast: float32 (H, W).

    contrast: difference of the pixels from the paper, float (H, W), 0 where there is no ink.
    """
    return np.clip(contrast / max(1.0, float(np.quantile(contrast, 0.995))), 0.0, 1.0).astype(np.float32)


def mark_runs(contrast: np.ndarray, type_height: float) -> list[MarkRun]:
    """Rows of at least LEAST equal shapes in a strip of a line, from left to right.

    contrast: difference of the pixels from the paper, float (H, W), 0 where there is no ink. type_height: in px.
    """
    ink = ink_of(contrast)
    spans = runs(np.asarray((ink > INK).any(0)))
    blurred = np.asarray(cv2.blur(ink, (BLUR, BLUR)))
    slack = max(1.5, UNEVEN * type_height)
    equal = [b[0] - a[1] < type_height and _are_equal(blurred, a, b, slack) for a, b in pairwise(spans)]
    pitches = [(b[0] + b[1] - a[0] - a[1]) / 2 for a, b in pairwise(spans)]
    found: list[MarkRun] = []
    start = 0
    for i in range(1, len(spans) + 1):
        if i == len(spans) or not equal[i - 1] or abs(pitches[i - 1] - pitches[start]) > slack:
            if i - start >= LEAST:
                following = spans[i][0] if i < len(spans) else ink.shape[1]
                gap = spans[i - 1][0] - spans[i - 2][1]
                found.append(MarkRun(start, i - start, len(spans) - i, spans[i - 1][1], following, gap))
            start = i
    return found


def _are_equal(ink: np.ndarray, a: tuple[int, int], b: tuple[int, int], slack: float) -> bool:
    """Whether two shapes, each from a first column to before a last, are about equal."""
    width = max(a[1] - a[0], b[1] - b[0])
    if abs(a[1] - a[0] - b[1] + b[0]) > slack:
        return False
    one = ink[:, a[0] : a[0] + width]
    best = np.inf
    for shift in (-1, 0, 1):
        start = b[0] + shift
        other = ink[:, max(0, start) : start + width]
        if other.shape == one.shape:
            best = min(best, float(np.abs(one - other).sum() / max(1.0, one.sum(), other.sum())))
    return best < UNLIKE


def count_marks(text: str, piece: Piece) -> str:
    """The text of a piece, with as many marks in each run as the image shows; unchanged if the two do not match."""
    read = [m for m in _READ.finditer(text) if m[0].count(m[1]) >= SHARE * len(m[0].replace(" ", ""))]
    strip = strip_of(piece) if read else None
    if strip is None:
        return text
    seen = mark_runs(strip.contrast, strip.type_height)
    found, done = "", 0
    for match in read:
        before, after = (len("".join(part.split())) for part in (text[: match.start()], text[match.end() :]))
        fitting = [run for run in seen if _is_near(run.before, before) and _is_near(run.after, after)]
        if len(fitting) == 1:
            found += text[done : match.start()] + match[1] * fitting[0].n
            done = match.end()
    return found + text[done:]


def split_after_runs(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces of a page, divided after long runs of equal marks.

    The model often leaves out the characters after such a run, such as the last digit of a passport's second line.
    """
    found: list[Piece] = []
    for piece in pieces:
        found += _split_after_run(piece)
    return found


def _split_after_run(piece: Piece) -> list[Piece]:
    strip = strip_of(piece)
    if strip is None or piece.course is None:
        return [piece]
    runs_here = mark_runs(strip.contrast, strip.type_height)
    ends = [run for run in runs_here if run.n >= LONG_RUN and run.after and run.next - run.end < strip.type_height / 2]
    if not ends or not 0 < (column := (ends[-1].end + ends[-1].next) // 2) < len(piece.course.middles):
        return [piece]
    is_close = ends[-1].next - ends[-1].end <= ends[-1].gap + WORD_GAP / 2 * strip.type_height
    pixels, course = np.asarray(piece.picture), piece.course
    shown = pixels[:, MARGIN : MARGIN + len(course.middles)]
    parts = []
    for a, b in ((0, column), (column, len(course.middles))):
        middles = course.middles[a:b]
        left, top, right, bottom = text_box(middles, strip.height)
        box = left, top, min(piece.box[2], right), min(piece.box[3], bottom)
        picture = on_paper(shown[:, a:b])
        goes_on = piece.goes_on if a == 0 else is_close
        parts.append(replace(piece, picture=picture, box=box, course=replace(course, middles=middles), goes_on=goes_on))
    return parts


def _is_near(shapes: int, characters: int) -> bool:
    return abs(shapes - characters) <= SLACK + PER_CHARACTER * characters
