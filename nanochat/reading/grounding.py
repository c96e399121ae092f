"""Grounded answers: `<|ref|>label<|/ref|><|det|>[[x1, y1, x2, y2], ...]<|/det|>` as text and boxes in pixels.

Coordinates are integers from 0 to 999 over the width and height of the image. A model may stop in the middle of a tag,
omit one, or nest them. As much as possible is interpreted, and no part of a tag remains in the text.
"""

import re
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from nanochat.files import FONT
from nanochat.lines.boxes import Box

MARK = re.compile(r"<\|(/?)(ref|det)\|>")
NUMBERS = re.compile(r"\[\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*\]")
CUT_MARK = re.compile(
    r"<\|?/?(?:r(?:e(?:f\|?)?)?|d(?:e(?:t\|?)?)?)?$"
)  # the beginning of a tag, at the end of an answer
STEPS = 999
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")


@dataclass(frozen=True)
class GroundedBlock:
    """A labelled part of the page."""

    label: str
    """content of <|ref|>: a kind such as `title`, or the text itself"""
    boxes: tuple[Box, ...]
    """boxes in pixels of the page: left, top, right, bottom"""
    text: str
    """text after the boxes, up to the next tag"""


def to_pixels(numbers: tuple[int, int, int, int], width: int, height: int) -> Box:
    """A box with coordinates 0 to 999 in pixels, with its corners in order and inside the page."""
    x1, y1, x2, y2 = (min(max(n, 0), STEPS) for n in numbers)
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    return (
        round(left * width / STEPS),
        round(top * height / STEPS),
        round(right * width / STEPS),
        round(bottom * height / STEPS),
    )


def parse_grounding(answer: str, width: int, height: int) -> tuple[str, list[GroundedBlock]]:
    """(the text without tags and coordinates, its blocks) of an answer about a page of this size in pixels.

    A label without text after it, as in answers to the prompt `ocr`, remains in the text; a label before text (`title`,
    then the title) does not.
    """
    if "<|" not in answer:
        return answer, []
    answer = CUT_MARK.sub("", answer)
    pieces: list[tuple[str, tuple[Box, ...], str]] = []  # label, boxes, text that follows
    before, label, where, numbers, rest = "", "", "text", "", ""

    def close() -> None:
        nonlocal label, numbers, rest
        boxes = tuple(
            to_pixels((int(a), int(b), int(c), int(d)), width, height) for a, b, c, d in NUMBERS.findall(numbers)
        )
        if label.strip() or boxes or rest.strip():
            pieces.append((label.strip(), boxes, rest))
        label = numbers = rest = ""

    position = 0
    for mark in [*MARK.finditer(answer), None]:
        said = answer[position : mark.start() if mark else len(answer)]
        if where == "ref":
            label += said
        elif where == "det":
            numbers += said
        elif pieces or label or numbers:
            rest += said
        else:
            before += said
        if mark is None:
            break
        position = mark.end()
        closing, kind = mark[1] == "/", mark[2]
        if kind == "ref" and not closing:
            if where != "ref":  # nested: one label
                close()
            where = "ref"
        elif kind == "det" and not closing:
            where = "det"
        else:
            where = "text"
    close()
    return _text(before, pieces), [
        GroundedBlock(label, boxes, rest.strip()) for label, boxes, rest in pieces if label or boxes
    ]


def _text(before: str, pieces: list[tuple[str, tuple[Box, ...], str]]) -> str:
    parts = [before.strip()]
    for label, _, rest in pieces:
        parts.append(rest.strip() or label)
    return "\n".join(part for part in parts if part)


def draw_boxes(page: Image.Image, named: list[tuple[str, Box]]) -> Image.Image:
    """The page with each box drawn, and beside it (or below, if it is wide) each text at its position on white."""
    width, height = page.size
    right, down = (0, height) if width > height else (width, 0)
    drawn = Image.new("RGB", (width + right, height + down), "white")
    drawn.paste(page.convert("RGB"))
    draw = ImageDraw.Draw(drawn)
    line = max(1, max(page.size) // 600)
    for i, (name, (x0, y0, x1, y1)) in enumerate(named):
        colour = COLOURS[i % len(COLOURS)]
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=line)
        text = " ".join(name.split())
        size = max(6.0, 0.8 * (y1 - y0))
        length = draw.textlength(text, font=_font(size))
        font = _font(max(6.0, size * min(1.0, (x1 - x0) / max(1.0, length))))
        draw.text((x0 + right, (y0 + y1) / 2 + down), text, fill=colour, font=font, anchor="lm")
    return drawn


def _font(size: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which covers most alphabets."""
    return ImageFont.truetype(FONT, size)
