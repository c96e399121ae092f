"""Markdown of a page that was read line by line: paragraphs, headings, lists and tables; other lines stay the same."""

import re
from typing import Any

from nanochat.reading.cells import WordRow
from nanochat.reading.headings import body_text, heading_levels
from nanochat.reading.list_marks import ITEM
from nanochat.reading.tables import Table, find_tables
from nanochat.reading.text_blocks import EDGE, PageLine, flowing, is_prose, page_line, text_blocks

LINE_MODES = ("lines", "blocks", "text-layer")  # modes in which the boxes of lines are known

_OWN_LINE = re.compile(r"#{1,6}(?:\s|$)|>|~~~|([-=*_+])\s*(?:\1\s*)*$")  # a heading, a quotation, code, a rule
_MARKS = re.compile(r"\\(?=[!-/:-@\[-`{-~])|[<`]|\[(?=[^\]]*\][(:])|&(?=#?\w+;)|[*_]+")  # Markdown interprets these


def _row(line: PageLine) -> WordRow:
    return WordRow(line.words, line.middle, line.height)


def _joined(above: str, line: str) -> str:
    """Two lines of a paragraph joined; a word that was divided between them is joined too."""
    if re.search(r"[^\W\d_]-$", above) and line[:1].islower():
        return above[:-1] + line
    return f"{above} {line}"


def _paragraphs(lines: list[PageLine], flows: list[bool]) -> list[str]:
    found = [lines[0].text]
    for line, goes_on in zip(lines[1:], flows):
        if goes_on:
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
    mark = ITEM.match(text)
    if mark is None or not (mark[1] or mark[2]):
        return _escaped(text)
    return (f"{mark[2]}{mark[3]} " if mark[2] else "- ") + _escaped(text[mark.end() :])


def _items(block: list[PageLine]) -> list[str]:
    """The list items of a block that begins with one; items further to the right are nested in the one before."""
    found: list[str] = []
    lefts: list[float] = []
    for line in block:
        if ITEM.match(line.text):
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


class _MarkdownWriter:
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

    def add_heading(self, block: list[PageLine], level: int) -> None:
        title = re.sub(r"(?<=\s)#+$", r"\\\g<0>", " ".join(_escaped(line.text) for line in block))
        self.add("#" * level + " " + title)

    def add_block(self, block: list[PageLine]) -> None:
        """Write lines that are neither a heading nor a table."""
        flows = flowing(block)
        goes_on = self.unfinished and block[0].text[0].islower()
        prose = is_prose(block, flows) or (goes_on and len(block) == 1 and not block[0].is_row)
        if ITEM.match(block[0].text) and (len(block) == 1 or not prose or any(ITEM.match(b.text) for b in block[1:])):
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
    lines = [page_line(line, result.get("turned", 0), size) for line in read]
    tables = find_tables([_row(line) for line in lines])
    blocks: list[list[PageLine]] = []
    table_at: dict[int, Table] = {}  # block at which a table begins -> the table
    at = 0
    for table in tables:
        blocks += text_blocks(lines[at : table.first])
        table_at[len(blocks)] = table
        blocks.append(lines[table.first : table.last + 1])
        at = table.last + 1
    blocks += text_blocks(lines[at:])
    levels = heading_levels(blocks, body_text(lines, [b for i, b in enumerate(blocks) if i not in table_at]))
    writer = _MarkdownWriter()
    for i, block in enumerate(blocks):
        if i in table_at:
            writer.add(_table(table_at[i]))
        elif i in levels:
            writer.add_heading(block, levels[i])
        else:
            writer.add_block(block)
    return "\n\n".join(writer.found)
