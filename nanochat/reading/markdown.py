"""A page that was read line by line as Markdown: paragraphs flow, larger type is a heading, other lines stay lines.

Whether two lines belong to one paragraph is seen from their places: the second begins where the first does, right below
it, and its first word had no room left on the first.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nanochat.lines.boxes import Box, turn_box

PITCH = 1.7  # type heights from one line of a block to the next at most
ALIKE = 1.3  # times as tall at most, in one block
EDGE = 0.7  # type heights: how far lines that begin at one place may differ; more is an indent
APART = 1.0  # type heights between two stretches of one line: it is a row of a table, and no prose
NARROW, WIDE = 25, 45  # characters a line of prose in a narrow column, if nearly all are letters; and of any other
LETTERS = 0.8  # of what prose consists of, spaces left out
HEADING, TITLE = 1.4, 2.0  # times the type that three quarters of the text do not exceed
LONGEST_HEADING = 3  # lines

_OWN_LINE = re.compile(r"#{1,6}(?:\s|$)|>|~~~|([-=*_+])\s*(?:\1\s*)*$")  # a heading, a quotation, code, a rule
_ITEM = re.compile(r"(?:[-*+•]|\d{1,2}[.)]|[a-z]\))\s")  # begins an item of a list
_MARKS = re.compile(r"\\(?=[!-/:-@\[-`{-~])|[<`]|\[(?=[^\]]*\][(:])|&(?=#?\w+;)|[*_]+")  # what would be no text


@dataclass(frozen=True)
class _Line:
    text: str
    box: Box
    is_row: bool
    """with wide gaps in it, as a row of a table"""
    height: float
    """of its stretches: the box around all of a slanting line is taller"""

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2


def _line(read: dict[str, Any], turned: int, size: tuple[int, int]) -> _Line:
    """A line of a page of `size` that is upright when `turned`."""
    box: Box = turn_box(read["box"], turned, size)
    boxes = [turn_box(part["box"], turned, size) for part in read.get("parts", [])] or [box]
    height = float(np.median([bottom - top for _, top, _, bottom in boxes]))
    is_row = any(b[0] - a[2] > APART * height for a, b in pairwise(boxes))
    return _Line(read["text"].strip(), box, is_row, height)


def _is_below(above: _Line, line: _Line) -> bool:
    """Whether a line follows right below another in one block."""
    low, high = sorted((above.height, line.height))
    shared = min(above.box[2], line.box[2]) - max(above.box[0], line.box[0])
    narrower = min(above.box[2] - above.box[0], line.box[2] - line.box[0])
    return high < ALIKE * low and 0 < line.middle - above.middle < PITCH * high and shared > 0.5 * narrower


def _blocks(lines: list[_Line]) -> list[list[_Line]]:
    blocks: list[list[_Line]] = []
    for line in lines:
        if blocks and _is_below(blocks[-1][-1], line):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return blocks


def _flows(above: _Line, line: _Line, left: float, right: float) -> bool:
    """Whether a line goes on with the sentence of the one above, in a block that reaches from left to right."""
    inset = above.box[0] - left, right - above.box[2]
    centred = min(inset) > EDGE * above.height and abs(inset[0] - inset[1]) < EDGE * above.height
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
    """Whether lines are broken where there was no more room, and not where something else begins."""
    text = "".join(line.text for line in lines).replace(" ", "")
    if len(text) >= WIDE * len(lines):
        return any(flows)
    letters = sum(map(str.isalpha, text)) / len(text)
    return len(text) >= NARROW * len(lines) and letters > LETTERS and 2 * sum(flows) >= len(flows) > 0


def _joined(above: str, line: str) -> str:
    """Two lines of a paragraph as one; a word that was parted between them is whole again."""
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
    """A line or a paragraph as itself, whatever marks of Markdown are in it."""

    def literal(mark: re.Match[str]) -> str:
        before, after = text[: mark.start()][-1:].strip(), text[mark.end() :][:1].strip()
        alone = not before and not after
        in_a_name = mark[0][0] == "_" and before.isalnum() and after.isalnum()
        if mark[0][0] in "*_" and (alone or in_a_name):
            return mark[0]
        return "".join("\\" + sign for sign in mark[0])

    plain = _MARKS.sub(literal, text)
    return "\\" + plain if _OWN_LINE.match(text) and plain[0] != "\\" else plain


def page_markdown(result: dict[str, Any]) -> str:
    """A page, as `Page.to_dict` gives it, in Markdown; of one that was shown whole, the text as the model wrote it."""
    read = [line for line in result.get("lines", []) if line["text"].strip()]
    if result.get("mode") != "lines" or not read or any(line["box"] is None for line in read):
        return result.get("text", "")
    size = result.get("width", 0), result.get("height", 0)
    lines = [_line(line, result.get("turned", 0), size) for line in read]
    body = float(np.percentile(np.repeat([line.height for line in lines], [len(line.text) for line in lines]), 75))
    found: list[str] = []
    unfinished = False  # the paragraph before, at the end of its column
    for block in _blocks(lines):
        smallest = min(line.height for line in block)
        left, right = min(line.box[0] for line in block), float(np.percentile([line.box[2] for line in block], 75))
        flows = [_flows(a, b, left, right) for a, b in pairwise(block)]
        goes_on = unfinished and block[0].text[0].islower()
        prose = _is_prose(block, flows) or (goes_on and len(block) == 1 and not block[0].is_row)
        if len(block) <= LONGEST_HEADING and smallest > HEADING * body:
            title = re.sub(r"(?<=\s)#+$", r"\\\g<0>", " ".join(_escaped(line.text) for line in block))
            found.append(("# " if smallest > TITLE * body else "## ") + title)
        elif prose:
            first, *rest = _paragraphs(block, flows)
            if goes_on:
                found[-1] = _joined(found[-1], first)
            else:
                found.append(_escaped(first))
            found += [_escaped(text) for text in rest]
        else:
            found.append("  \n".join(_escaped(line.text) for line in block))
        unfinished = prose and re.search(r"[\w,-]$", block[-1].text) is not None
    return "\n\n".join(found)
