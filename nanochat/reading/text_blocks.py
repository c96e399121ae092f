"""The lines of a page in blocks: which lines belong together, and which blocks are running text.

Two lines belong to the same paragraph if the second is directly below the first, starts at the same left edge, and its
first word did not fit on the first.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nanochat.lines.boxes import Box, turn_box, union
from nanochat.reading.cells import Word
from nanochat.reading.list_marks import ITEM
from nanochat.reading.placed_text import Stretch, stretch_of, words_in

PITCH = 1.7  # type heights: largest distance between lines of a block
LOOSER = 1.4  # times the usual line distance of a block: above it, another block begins
ALIKE = 1.2  # largest ratio of type heights within a block
ROUNDING = 1.5  # px by which equal type heights may differ in addition
EDGE = 0.7  # type heights: tolerance of left edges; more is an indent
OUTSIDE = 2.0  # type heights: a line that begins or ends this far outside a block is not part of it
WIDEST_INDENT = 3.0  # type heights: indent of the first line of a paragraph
APART = 1.0  # type heights: a line with such a gap is a row of a table, not prose
NARROW, WIDE = 25, 45  # fewest characters in a line of prose: in a narrow column of letters; otherwise
LETTERS = 0.8  # share of letters in prose, without spaces
BOLDER = 1.17  # times the stroke width of the text: a heading if alone
LONGEST_HEADING = 3  # lines

_LABEL = re.compile(r"\W?\w{0,2}[\d.]*\W?")  # a number or letter at a distance before a heading or an item


@dataclass(frozen=True)
class PageLine:
    """A line of a page, in the orientation in which it was read."""

    text: str
    box: Box
    is_row: bool
    """whether it has wide gaps, like a row of a table"""
    height: float
    """height of its parts; the box around a slanted line is taller"""
    stroke_width: float
    """stroke width in type heights; 0 if unknown"""
    words: tuple[Word, ...]

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2


def page_line(read: dict[str, Any], turned: int, size: tuple[int, int]) -> PageLine:
    """A line of a page of `size`, in the orientation in which it was read."""
    stretches = [stretch_of(part) for part in read.get("parts", [])] or [Stretch(read["text"], tuple(read["box"]))]
    boxes = [turn_box(stretch.box, turned, size) for stretch in stretches]
    words = [(word, turn_box(box, turned, size)) for stretch in stretches for word, box in words_in(stretch, turned)]
    height = max(1.0, float(np.median([bottom - top for _, top, _, bottom in boxes])))
    is_row = any(b[0] - a[2] > APART * height for a, b in pairwise(boxes)) or any(
        b[0] - a[2] > 1.6 * APART * height and not (i == 0 and _LABEL.fullmatch(first))
        for i, ((first, a), (_, b)) in enumerate(pairwise(words))
    )
    strokes = [part.get("stroke_width", 0.0) for part in read.get("parts", [])] or [0.0]
    box = turn_box(tuple(read["box"]), turned, size)
    placed = tuple(Word(word, box[0], box[2]) for word, box in words)
    return PageLine(read["text"].strip(), box, is_row, height, float(np.mean(strokes)), placed)


def is_apart(above: PageLine, line: PageLine) -> bool:
    """Whether a line is clearly separated from the one above, or at the top of a new column."""
    return not 0 < line.middle - above.middle < PITCH * max(above.height, line.height)


def _is_below(block: list[PageLine], line: PageLine) -> bool:
    """Whether a line continues a block directly below it."""
    above = block[-1]
    low, high = sorted((above.height, line.height))
    left, _, right, _ = union(one.box for one in block)
    shared = min(above.box[2], line.box[2]) - max(above.box[0], line.box[0])
    narrower = min(above.box[2] - above.box[0], line.box[2] - line.box[0])
    centred = abs(left + right - line.box[0] - line.box[2]) < 2 * high
    sticks_out = line.box[0] < left - OUTSIDE * high or line.box[2] > right + 2 * OUTSIDE * high
    strokes = sorted((above.stroke_width, line.stroke_width))
    is_item, are_items = ITEM.match(line.text) is not None, ITEM.match(block[0].text) is not None
    if _is_bold_title(above, line):
        return False
    begins_list = is_item and not are_items and line.box[0] > left + EDGE * high
    ends_list = are_items and not is_item and line.box[0] < left - EDGE * high
    if begins_list or ends_list:
        return False
    return (
        high < ALIKE * low + ROUNDING
        and 0 < line.middle - above.middle < PITCH * high
        and shared > 0.5 * narrower
        and (centred or not sticks_out or len(block) < 2)
        and not (
            strokes[0] > 0
            and strokes[1] > BOLDER * strokes[0]
            and may_be_heading([above])
            and not line.text[0].islower()
        )
    )


def _is_bold_title(above: PageLine, line: PageLine) -> bool:
    """Whether a line in bolder type is directly below the end of a sentence."""
    return (
        line.stroke_width > BOLDER * above.stroke_width > 0
        and re.search(r"[.!?:;][\"'”’)]*$", above.text) is not None
        and not line.text[0].islower()
        and not ITEM.match(line.text)
        and may_be_heading([line])
    )


def text_blocks(lines: list[PageLine]) -> list[list[PageLine]]:
    """Lines in blocks: consecutive lines of the same type, close to each other."""
    blocks: list[list[PageLine]] = []
    for line in lines:
        if blocks and _is_below(blocks[-1], line):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return [part for block in blocks for part in _parted(block)]


def _parted(block: list[PageLine]) -> list[list[PageLine]]:
    """A block, divided where the distance between two lines is clearly larger than elsewhere in the block."""
    pitches = [b.middle - a.middle for a, b in pairwise(block)]
    usual = float(np.median(pitches)) if len(pitches) > 2 else float("inf")
    cuts = [0, *(i for i, pitch in enumerate(pitches, 1) if pitch > LOOSER * usual), len(block)]
    return [block[a:b] for a, b in pairwise(cuts)]


def may_be_heading(block: list[PageLine]) -> bool:
    """Whether a block is short, consists of letters, and is not a sentence."""
    text = " ".join(line.text for line in block)
    letters = sum(map(str.isalpha, text))
    return (
        len(block) <= LONGEST_HEADING
        and 2 <= letters > 0.5 * len(text.replace(" ", ""))
        and not any(line.is_row for line in block)
        and not re.search(r"[.,;:]$", text)
    )


def _flows(above: PageLine, line: PageLine, left: float, right: float) -> bool:
    """Whether a line continues the sentence of the line above, in a block with these left and right edges."""
    inset = above.box[0] - left, right - above.box[2]
    centred = min(inset) > EDGE * above.height and abs(inset[0] - inset[1]) < EDGE * above.height
    if inset[0] < WIDEST_INDENT * above.height and line.box[0] - left < EDGE * above.height:
        centred = False  # rather the indented first line of a paragraph
    if (
        above.is_row
        or line.is_row
        or centred
        or ITEM.match(line.text)
        or line.box[0] > above.box[0] + EDGE * line.height
    ):
        return False
    letter = (above.box[2] - above.box[0]) / len(above.text)
    return above.box[2] + letter * (1 + len(line.text.split()[0])) > right


def flowing(block: list[PageLine]) -> list[bool]:
    """For each line except the first: whether it continues the sentence of the line above."""
    left, right = min(line.box[0] for line in block), float(np.percentile([line.box[2] for line in block], 75))
    return [_flows(a, b, left, right) for a, b in pairwise(block)]


def is_prose(lines: list[PageLine], flows: list[bool]) -> bool:
    """Whether lines end because the next word did not fit, rather than because something else begins."""
    text = "".join(line.text for line in lines).replace(" ", "")
    if len(text) >= WIDE * len(lines):
        return any(flows)
    letters = sum(map(str.isalpha, text)) / len(text)
    return len(text) >= NARROW * len(lines) and letters > LETTERS and 2 * sum(flows) >= len(flows) > 0
