"""Which blocks of a page are headings, and their levels. Headings are set in larger or bolder type than the text."""

import re
from dataclasses import dataclass

import numpy as np

from nanochat.lines.boxes import union
from nanochat.reading.list_marks import ITEM
from nanochat.reading.text_blocks import (
    BOLDER,
    EDGE,
    LONGEST_HEADING,
    PITCH,
    ROUNDING,
    WIDEST_INDENT,
    PageLine,
    flowing,
    is_apart,
    is_prose,
    may_be_heading,
)  # fmt: skip

LARGER, LARGE = 1.2, 1.4  # times the type of the text: a heading if it reads like one; a heading in any case
RATHER_LARGER = 1.15  # times the type of the text: a heading if alone above text or a table
STRONG, TALLER = 1.4, 1.08  # times the stroke width and the type of the text: a heading if alone, also without prose
SAME_LEVEL = 1.18  # largest ratio of type heights within a heading level
DEEPEST = 6  # deepest level of a heading

_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2})*)\.?\s+[A-Z]")  # a heading with a section number, which gives its level
_SERIAL = re.compile(r"(?:\W*\d){5,}\W*")  # a long number alone, as stamped on filed documents: no heading


@dataclass(frozen=True)
class BodyText:
    """Type height and stroke width of the text of a page."""

    height: float
    stroke_width: float
    has_prose: bool


def body_text(lines: list[PageLine], blocks: list[list[PageLine]]) -> BodyText:
    """The text of a page that consists of these lines and these blocks, without tables."""
    letters = [len(line.text) for line in lines]
    height = float(np.percentile(np.repeat([line.height for line in lines], letters), 60))
    stroke_width = float(np.median(np.repeat([line.stroke_width for line in lines], letters)))
    return BodyText(height, stroke_width, any(is_prose(block, flowing(block)) for block in blocks))


def _introduces(block: list[PageLine], below: list[PageLine], above: list[PageLine], under_heading: bool) -> bool:
    """Whether a short line is alone between paragraphs, at their left edge."""
    (line, *more), (left, _, right, _) = block, union(one.box for one in below)
    return (
        not more
        and bool(above)
        and line.text[0].isupper()
        and len(below) > 1
        and is_prose(below, flowing(below))
        and abs(line.box[0] - left) < EDGE * line.height
        and line.box[2] - line.box[0] < 0.75 * (right - left)
        and below[0].middle > line.middle
        and (under_heading or line.middle - above[-1].middle > PITCH * line.height)
    )


def _has_room(above: PageLine, line: PageLine) -> bool:
    """Whether there is as much room between two lines as between lines of blocks, also below much larger type."""
    room = line.middle - above.middle - (above.height + line.height) / 2
    return line.middle <= above.middle or room > (PITCH - 1) * min(above.height, line.height)


def _names_columns(block: list[PageLine], below: list[PageLine]) -> bool:
    """Whether lines right above a row of columns begin further right than it, as a name over several columns does."""
    first = below[0] if below else block[-1]
    return (
        first.is_row
        and not is_apart(block[-1], first)
        and block[0].box[0] > first.box[0] + WIDEST_INDENT * first.height
    )


def _heading_size(blocks: list[list[PageLine]], i: int, body: BodyText, under_heading: bool) -> float | None:
    """The type height in px of block i if it is a heading, at least that of the text; None if it is not.

    under_heading: whether the block before it is a heading.
    """
    block, above, below = blocks[i], blocks[i - 1] if i else [], blocks[i + 1] if i + 1 < len(blocks) else []
    size, stroke = min(line.height for line in block), min(line.stroke_width for line in block)
    if below and below[0].middle <= block[-1].middle:  # at the top of the next column
        below = []
    if size > LARGE * body.height and len(block) <= LONGEST_HEADING and not any(line.is_row for line in block):
        if _SERIAL.fullmatch(" ".join(line.text for line in block)) is None:
            return size
    if not may_be_heading(block) or _names_columns(block, below):
        return None
    is_alone = len(block) == 1 and (not above or is_apart(above[-1], block[0]))
    larger = size > LARGER * body.height + ROUNDING / 2
    strong = (
        len(block) == 1
        and (not above or _has_room(above[-1], block[0]))
        and bool(below)
        and size > TALLER * body.height
        and stroke > STRONG * body.stroke_width > 0
    )
    if larger or strong:
        return max(size, body.height)
    over_text = bool(below) and body.has_prose and not ITEM.match(block[0].text) and (is_alone or not below[0].is_row)
    bolder = stroke > BOLDER * body.stroke_width > 0
    rather_larger = is_alone and size > RATHER_LARGER * body.height + ROUNDING / 2
    numbered = _NUMBERED.match(block[0].text) is not None and len(below) > 1
    if over_text and (bolder or rather_larger or numbered or _introduces(block, below, above, under_heading)):
        return max(size, body.height)
    return None


def heading_levels(blocks: list[list[PageLine]], body: BodyText) -> dict[int, int]:
    """The level of each block that is a heading, 1 to 6, from its number or else its type size."""
    sizes: dict[int, float] = {}
    for i in range(len(blocks)):
        size = _heading_size(blocks, i, body, under_heading=i - 1 in sizes)
        if size is not None:
            sizes[i] = size
    tallest: list[float] = []  # largest type height of each level
    for size in sorted(sizes.values(), reverse=True):
        if not tallest or tallest[-1] > SAME_LEVEL * size:
            tallest.append(size)
    levels = {}
    for i, size in sizes.items():
        number = _NUMBERED.match(blocks[i][0].text)
        rank = sum(size * SAME_LEVEL < tall for tall in tallest) + 1
        levels[i] = min(DEEPEST, 2 + number[1].count(".") if number else rank)
    return levels
