"""Markdown of a page that was read line by line: paragraphs, headings, lists and tables; other lines stay as they are.

Two lines belong to the same paragraph if the second is directly below the first, starts at the same left edge, and its
first word did not fit on the first. Headings are set in larger or bolder type than the text.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nanochat.lines.boxes import Box, turn_box, union
from nanochat.reading.cells import Row, Word
from nanochat.reading.placed import Stretch, stretch_of, words_in
from nanochat.reading.tables import Table, find_tables

LINE_MODES = ("lines", "blocks", "text-layer")  # modes in which the boxes of lines are known
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
LARGER, LARGE = 1.2, 1.4  # times the type of the text: a heading if it reads like one; a heading in any case
RATHER_LARGER = 1.15  # times the type of the text: a heading if alone above text or a table
STRONG, TALLER = 1.4, 1.08  # times the stroke width and the type of the text: a heading if alone, also without prose
BOLDER = 1.17  # times the stroke width of the text: a heading if alone
SAME_LEVEL = 1.18  # largest ratio of type heights within a heading level
LONGEST_HEADING = 3  # lines
DEEPEST = 6  # deepest level of a heading

_OWN_LINE = re.compile(r"#{1,6}(?:\s|$)|>|~~~|([-=*_+])\s*(?:\1\s*)*$")  # a heading, a quotation, code, a rule
_ITEM = re.compile(r"([-*+•◦▪])\s+|(\d{1,2})([.)])\s+|[a-z]\)\s")  # start of a list item
_LABEL = re.compile(r"\W?\w{0,2}[\d.]*\W?")  # stands apart before a heading or an item
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2})*)\.?\s+[A-Z]")  # a heading that says its level
_SERIAL = re.compile(r"(?:\W*\d){5,}\W*")  # a long number alone, as stamped on filed documents: no heading
_MARKS = re.compile(r"\\(?=[!-/:-@\[-`{-~])|[<`]|\[(?=[^\]]*\][(:])|&(?=#?\w+;)|[*_]+")  # what would be no text


@dataclass(frozen=True)
class _Line:
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


def _line(read: dict[str, Any], turned: int, size: tuple[int, int]) -> _Line:
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
    return _Line(read["text"].strip(), box, is_row, height, float(np.mean(strokes)), placed)


def _row(line: _Line) -> Row:
    return Row(line.words, line.middle, line.height)


def _is_below(block: list[_Line], line: _Line) -> bool:
    """Whether a line continues a block directly below it."""
    above = block[-1]
    low, high = sorted((above.height, line.height))
    left, _, right, _ = union(one.box for one in block)
    shared = min(above.box[2], line.box[2]) - max(above.box[0], line.box[0])
    narrower = min(above.box[2] - above.box[0], line.box[2] - line.box[0])
    centred = abs(left + right - line.box[0] - line.box[2]) < 2 * high
    sticks_out = line.box[0] < left - OUTSIDE * high or line.box[2] > right + 2 * OUTSIDE * high
    strokes = sorted((above.stroke_width, line.stroke_width))
    is_item, are_items = _ITEM.match(line.text) is not None, _ITEM.match(block[0].text) is not None
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
            and _may_be_heading([above])
            and not line.text[0].islower()
        )
    )


def _is_bold_title(above: _Line, line: _Line) -> bool:
    """Whether a line in bolder type stands right below the end of a sentence."""
    return (
        line.stroke_width > BOLDER * above.stroke_width > 0
        and re.search(r"[.!?:;][\"'”’)]*$", above.text) is not None
        and not line.text[0].islower()
        and not _ITEM.match(line.text)
        and _may_be_heading([line])
    )


def _blocks(lines: list[_Line]) -> list[list[_Line]]:
    blocks: list[list[_Line]] = []
    for line in lines:
        if blocks and _is_below(blocks[-1], line):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return [part for block in blocks for part in _parted(block)]


def _parted(block: list[_Line]) -> list[list[_Line]]:
    """A block, divided where the distance between two lines is clearly larger than elsewhere in the block."""
    pitches = [b.middle - a.middle for a, b in pairwise(block)]
    usual = float(np.median(pitches)) if len(pitches) > 2 else float("inf")
    cuts = [0, *(i for i, pitch in enumerate(pitches, 1) if pitch > LOOSER * usual), len(block)]
    return [block[a:b] for a, b in pairwise(cuts)]


def _may_be_heading(block: list[_Line]) -> bool:
    """Whether it is short, consists of letters, and is not a sentence."""
    text = " ".join(line.text for line in block)
    letters = sum(map(str.isalpha, text))
    return (
        len(block) <= LONGEST_HEADING
        and 2 <= letters > 0.5 * len(text.replace(" ", ""))
        and not any(line.is_row for line in block)
        and not re.search(r"[.,;:]$", text)
    )


def _flows(above: _Line, line: _Line, left: float, right: float) -> bool:
    """Whether a line continues the sentence of the line above, in a block with these left and right edges."""
    inset = above.box[0] - left, right - above.box[2]
    centred = min(inset) > EDGE * above.height and abs(inset[0] - inset[1]) < EDGE * above.height
    if inset[0] < WIDEST_INDENT * above.height and line.box[0] - left < EDGE * above.height:
        centred = False  # rather the indented first line of a paragraph
    if (
        above.is_row
        or line.is_row
        or centred
        or _ITEM.match(line.text)
        or line.box[0] > above.box[0] + EDGE * line.height
    ):
        return False
    letter = (above.box[2] - above.box[0]) / len(above.text)
    return above.box[2] + letter * (1 + len(line.text.split()[0])) > right


def _is_prose(lines: list[_Line], flows: list[bool]) -> bool:
    """Whether lines end because the next word did not fit, rather than because something else begins."""
    text = "".join(line.text for line in lines).replace(" ", "")
    if len(text) >= WIDE * len(lines):
        return any(flows)
    letters = sum(map(str.isalpha, text)) / len(text)
    return len(text) >= NARROW * len(lines) and letters > LETTERS and 2 * sum(flows) >= len(flows) > 0


def _joined(above: str, line: str) -> str:
    """Two lines of a paragraph joined; a word that was divided between them is joined too."""
    if re.search(r"[^\W\d_]-$", above) and line[:1].islower():
        return above[:-1] + line
    return f"{above} {line}"


def _paragraphs(lines: list[_Line], flows: list[bool]) -> list[str]:
    found = [lines[0].text]
    for line, flowing in zip(lines[1:], flows):
        if flowing:
            found[-1] = _joined(found[-1], line.text)
        else:
            found.append(line.text)
    return found


def _escaped(text: str) -> str:
    """A line or a paragraph with the characters that Markdown would interpret escaped."""

    def literal(mark: re.Match[str]) -> str:
        before, after = text[: mark.start()][-1:].strip(), text[mark.end() :][:1].strip()
        alone = not before and not after
        in_a_name = mark[0][0] == "_" and before.isalnum() and after.isalnum()
        if mark[0][0] in "*_" and (alone or in_a_name):
            return mark[0]
        return "".join("\\" + sign for sign in mark[0])

    plain = _MARKS.sub(literal, text)
    return "\\" + plain if _OWN_LINE.match(text) and plain[0] != "\\" else plain


def _with_marks(text: str) -> str:
    """A list item with a Markdown marker; other text unchanged."""
    mark = _ITEM.match(text)
    if mark is None or not (mark[1] or mark[2]):
        return _escaped(text)
    return (f"{mark[2]}{mark[3]} " if mark[2] else "- ") + _escaped(text[mark.end() :])


def _items(block: list[_Line]) -> list[str]:
    """The list items of a block that begins with one; items further to the right are nested in the one before."""
    found: list[str] = []
    lefts: list[float] = []
    for line in block:
        if _ITEM.match(line.text):
            while lefts and line.box[0] < lefts[-1] - EDGE * line.height:
                lefts.pop()
            if not lefts or line.box[0] > lefts[-1] + EDGE * line.height:
                lefts.append(line.box[0])
            found.append("    " * (len(lefts) - 1) + _with_marks(line.text))
        elif found:
            found[-1] = _joined(found[-1], _escaped(line.text))
        else:
            found.append(_escaped(line.text))
    return found


def _table(table: Table) -> str:
    """A table in GitHub's Markdown; if its first row is not a header, the header is empty."""
    rows = [[_escaped(cell).replace("|", "\\|") for cell in row] for row in table.cells]
    if not table.has_header:
        rows = [[""] * len(rows[0]), *rows]
    rule = ["---:" if numeric else "---" for numeric in table.numeric]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def _introduces(block: list[_Line], below: list[_Line], above: list[_Line], under_heading: bool) -> bool:
    """Whether a short line is alone between paragraphs, at their left edge."""
    (line, *more), (left, _, right, _) = block, union(one.box for one in below)
    return (
        not more
        and bool(above)
        and line.text[0].isupper()
        and len(below) > 1
        and _is_prose(below, _flowing(below))
        and abs(line.box[0] - left) < EDGE * line.height
        and line.box[2] - line.box[0] < 0.75 * (right - left)
        and below[0].middle > line.middle
        and (under_heading or line.middle - above[-1].middle > PITCH * line.height)
    )


@dataclass(frozen=True)
class _Body:
    """Type height and stroke width of the text of a page."""

    height: float
    stroke_width: float
    has_prose: bool


def _is_apart(above: _Line, line: _Line) -> bool:
    """Whether a line is clearly separated from the one above, or at the top of a new column."""
    return not 0 < line.middle - above.middle < PITCH * max(above.height, line.height)


def _has_room(above: _Line, line: _Line) -> bool:
    """Whether there is as much room between two lines as between lines of blocks, also below much larger type."""
    room = line.middle - above.middle - (above.height + line.height) / 2
    return line.middle <= above.middle or room > (PITCH - 1) * min(above.height, line.height)


def _names_columns(block: list[_Line], below: list[_Line]) -> bool:
    """Whether lines right above a row of columns begin further right than it, as a name over several columns does."""
    first = below[0] if below else block[-1]
    return (
        first.is_row
        and not _is_apart(block[-1], first)
        and block[0].box[0] > first.box[0] + WIDEST_INDENT * first.height
    )


def _heading_levels(blocks: list[list[_Line]], body: _Body) -> dict[int, int]:
    """The level of each block that is a heading, 1 to 6, from its number or else its type size."""
    sizes: dict[int, float] = {}
    for i, block in enumerate(blocks):
        size = min(line.height for line in block)
        below = blocks[i + 1] if i + 1 < len(blocks) else []
        larger = size > LARGER * body.height + ROUNDING / 2
        bolder = body.stroke_width > 0 and min(line.stroke_width for line in block) > BOLDER * body.stroke_width
        above = blocks[i - 1] if i else []
        is_alone = len(block) == 1 and (not above or _is_apart(above[-1], block[0]))
        stands_over_text = (
            bool(below) and body.has_prose and not _ITEM.match(block[0].text) and (is_alone or not below[0].is_row)
        )
        is_serial = _SERIAL.fullmatch(" ".join(line.text for line in block)) is not None
        if (
            size > LARGE * body.height
            and not is_serial
            and len(block) <= LONGEST_HEADING
            and not any(line.is_row for line in block)
        ):
            sizes[i] = size
        if i in sizes or not _may_be_heading(block) or _names_columns(block, below):
            continue
        is_strong = (
            len(block) == 1
            and (not above or _has_room(above[-1], block[0]))
            and bool(below)
            and size > TALLER * body.height
            and min(line.stroke_width for line in block) > STRONG * body.stroke_width > 0
        )
        if not (larger or stands_over_text or is_strong):
            continue
        numbered = _NUMBERED.match(block[0].text) is not None and len(below) > 1
        rather_larger = is_alone and size > RATHER_LARGER * body.height + ROUNDING / 2
        by_type = larger or bolder or is_strong or rather_larger
        if by_type or numbered or _introduces(block, below, above, i - 1 in sizes):
            sizes[i] = max(size, body.height)
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


def _body(lines: list[_Line], blocks: list[list[_Line]]) -> _Body:
    letters = [len(line.text) for line in lines]
    height = float(np.percentile(np.repeat([line.height for line in lines], letters), 60))
    stroke_width = float(np.median(np.repeat([line.stroke_width for line in lines], letters)))
    return _Body(height, stroke_width, any(_is_prose(block, _flowing(block)) for block in blocks))


def _flowing(block: list[_Line]) -> list[bool]:
    """For each line except the first: whether it continues the sentence of the line above."""
    left, right = min(line.box[0] for line in block), float(np.percentile([line.box[2] for line in block], 75))
    return [_flows(a, b, left, right) for a, b in pairwise(block)]


class _Writer:
    """Writes the blocks of a page as Markdown."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.unfinished = False
        """whether the previous paragraph ended in the middle of a sentence, at the end of its column"""
        self.in_list = False
        """whether the last block was a list item"""

    def add(self, text: str) -> None:
        self.found.append(text)
        self.unfinished = self.in_list = False

    def add_heading(self, block: list[_Line], level: int) -> None:
        title = re.sub(r"(?<=\s)#+$", r"\\\g<0>", " ".join(_escaped(line.text) for line in block))
        self.add("#" * level + " " + title)

    def add_block(self, block: list[_Line]) -> None:
        """Write lines that are neither a heading nor a table."""
        flows = _flowing(block)
        goes_on = self.unfinished and block[0].text[0].islower()
        prose = _is_prose(block, flows) or (goes_on and len(block) == 1 and not block[0].is_row)
        if _ITEM.match(block[0].text) and (len(block) == 1 or not prose or any(_ITEM.match(b.text) for b in block[1:])):
            items = "\n".join(_items(block))
            if self.in_list:
                self.found[-1] += "\n" + items
            else:
                self.add(items)
            self.in_list = True
        elif prose:
            first, *rest = _paragraphs(block, flows)
            if goes_on:
                self.found[-1] = _joined(self.found[-1], first)
            else:
                self.found.append(_escaped(first))
            self.found += [_escaped(text) for text in rest]
            self.in_list = False
            self.unfinished = re.search(r"[\w,-]$", block[-1].text) is not None
        else:
            self.add("\\\n".join(_escaped(line.text) for line in block))


def page_markdown(result: dict[str, Any]) -> str:
    """The Markdown of a page, from the dict of `Page.to_dict`; for a page read in one view, the text as generated."""
    read = [line for line in result.get("lines", []) if line["text"].strip()]
    if result.get("mode") not in LINE_MODES or not read or any(line["box"] is None for line in read):
        return result.get("text", "")
    size = result.get("width", 0), result.get("height", 0)
    lines = [_line(line, result.get("turned", 0), size) for line in read]
    tables = find_tables([_row(line) for line in lines])
    blocks: list[list[_Line]] = []
    table_at: dict[int, Table] = {}  # block at which a table begins -> the table
    at = 0
    for table in tables:
        blocks += _blocks(lines[at : table.first])
        table_at[len(blocks)] = table
        blocks.append(lines[table.first : table.last + 1])
        at = table.last + 1
    blocks += _blocks(lines[at:])
    levels = _heading_levels(blocks, _body(lines, [b for i, b in enumerate(blocks) if i not in table_at]))
    writer = _Writer()
    for i, block in enumerate(blocks):
        if i in table_at:
            writer.add(_table(table_at[i]))
        elif i in levels:
            writer.add_heading(block, levels[i])
        else:
            writer.add_block(block)
    return "\n\n".join(writer.found)
