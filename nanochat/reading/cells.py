"""The cells of a table: which words of a line are in which column, and which lines are of the same row.

The table's lines and gutters are already known (`tables`).
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

# Widths and distances are in type heights.
OWN = 0.7  # smallest gap of a line between two cells
FARTHEST = 3.2  # largest distance between lines of a table
LEVEL = 0.6  # largest vertical offset between cells of the same row
TIGHT = 1.45  # largest distance between lines of a cell
CLEARER = 1.25  # smallest ratio of row distance to line distance if cells have several lines
HEADS = 3  # number of lines above a table that may be its header

_NUMBER = re.compile(r"[-+(~<>]*[$€£¥]? ?\d[\d.,'%:/ -]*[)%]?(?: ?[A-Za-z€$£]{1,3})?|[-–—]")
_DATE = re.compile(r"\d{1,2}[ .-]?[A-Za-z]{3,9}[ .,-]*\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4}")  # 3 May 2021, May 3, 2021
_CURRENCY = re.compile(r"[$€£¥]|EUR|USD|GBP|CHF|CAD|AUD|JPY|RM|Rs\.?|kr\.?")

_LIKE_DOLLAR = re.compile(r"^S(?= [\d(]|\d{1,3}[.,]\d)")
_YEAR = re.compile(r"(?:FY ?)?(?:19|20)\d\d(?: ?[/–-] ?\d{2,4})?")  # also 2024/25

Gutter = tuple[float, float]
"""left and right edge of the blank space between two columns, in pixels"""


class Word(NamedTuple):
    """A word with its start and end on the line."""

    text: str
    left: float
    right: float


@dataclass(frozen=True)
class WordRow:
    """A line of words from left to right."""

    words: tuple[Word, ...]
    middle: float
    """vertical position on the page"""
    height: float
    """type height"""
    spaced: float = 1.0
    """unit of its gaps in type heights: more than 1 if the spaces of the page are wide"""

    @property
    def unit(self) -> float:
        """Unit of its gaps, in pixels."""
        return self.spaced * self.height

    @property
    def left(self) -> float:
        return min(word.left for word in self.words)

    @property
    def right(self) -> float:
        return max(word.right for word in self.words)

    @property
    def widest_gap(self) -> float:
        """The gaps between its words, in units."""
        return max(self.gaps, default=0.0) / self.unit

    @property
    def gaps(self) -> list[float]:
        """The gaps between its words, in pixels."""
        ordered = sorted(self.words, key=lambda word: word.left)
        return [b.left - a.right for a, b in pairwise(ordered)]


def is_number(text: str) -> bool:
    """Whether a cell is a number, an amount, a date, or a dash in place of one."""
    return _NUMBER.fullmatch(text) is not None or _DATE.fullmatch(text) is not None


def is_period(text: str) -> bool:
    """Whether a cell is a date or a year, which may be the name of a column of numbers."""
    return _DATE.fullmatch(text) is not None or _YEAR.fullmatch(text) is not None


def stretches(row: WordRow) -> list[Word]:
    """The words of a row; words separated by no more than a space are joined."""
    found: list[Word] = []
    for word in sorted(row.words, key=lambda word: word.left):
        if found and word.left - found[-1].right < OWN * row.unit:
            found[-1] = Word(f"{found[-1].text} {word.text}", found[-1].left, word.right)
        else:
            found.append(word)
    return found


def follows(above: WordRow, row: WordRow) -> bool:
    """Whether a row may come after the one above it in a table: of similar type height, and not too far below."""
    low, high = sorted((above.height, row.height))
    return high < 1.5 * low and -LEVEL * low < row.middle - above.middle < FARTHEST * high


def cells_of(row: WordRow, gutters: list[Gutter]) -> list[str]:
    """The text of a row in each column; if it has as many parts as there are columns, one each, wherever they start.

    The text of a cell over several columns is in the first of them.
    """
    if len(pieces := stretches(row)) == len(gutters) + 1:
        return [piece.text for piece in pieces]
    columns: list[list[str]] = [[] for _ in range(len(gutters) + 1)]
    column, before = 0, None
    for word in sorted(row.words, key=lambda word: word.left):
        middle = (word.left + word.right) / 2
        its_own = sum(middle > (a + b) / 2 for a, b in gutters)
        if before is None or not _same_cell(row, before, word, gutters[column:its_own]):
            column = its_own
        columns[column].append(word.text)
        before = word
    return [" ".join(words) for words in columns]


def _same_cell(row: WordRow, before: Word, word: Word, gutters: list[Gutter]) -> bool:
    """Whether a word belongs to the cell of the word before it, although these gutters lie between their middles."""
    if word.left - before.right >= OWN * row.unit or (is_number(before.text) and is_number(word.text)):
        return False
    return all(2 * (min(word.left, b) - max(before.right, a)) < b - a for a, b in gutters)


def _goes_on(above: list[str], cells: list[str], pitch: float, usual: float) -> bool:
    """Whether a line continues the row above, like the second line of a wrapped cell.

    It lies `pitch` type heights below its last line; rows are `usual` type heights apart. A number below a number,
    beside more in the first column, begins a row: numbers are not wrapped.
    """
    filled = [i for i, cell in enumerate(cells) if cell]
    if pitch < LEVEL and not any(above[i] for i in filled):
        return True
    beneath = all(above[i] for i in filled) and len(filled) < sum(map(bool, above))
    numbers = cells[0] != "" and any(is_number(cells[i]) and is_number(above[i]) for i in filled)
    if not beneath or numbers or pitch > TIGHT:
        return False
    if pitch * CLEARER < usual:
        return True
    return cells[0] == "" and not any(is_number(cells[i]) for i in filled)


def _merged_lines(lines: list[tuple[list[str], WordRow]]) -> list[list[str]]:
    """Rows made of lines of cells: the lines of a wrapped cell are joined."""
    height = float(np.median([row.height for _, row in lines]))
    pitches = [(b.middle - a.middle) / height for (_, a), (_, b) in pairwise(lines)]
    filled = [sum(map(bool, cells)) for cells, _ in lines[1:]]
    full = [p for p, n in zip(pitches, filled) if 4 * n > 3 * max(filled)]  # above lines that certainly begin a row
    usual = float(np.median(full)) if full else 0.0
    rows = [list(lines[0][0])]
    for pitch, (cells, _) in zip(pitches, lines[1:]):
        if _goes_on(rows[-1], cells, pitch, usual):
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], cells)]
        else:
            rows.append(list(cells))
    return rows


def merged(rows: list[WordRow], members: list[int], between: list[int], gutters: list[Gutter]) -> list[list[str]]:
    """The rows of a table, with the lines without columns between them."""
    cells: list[list[str]] = []
    part: list[tuple[list[str], WordRow]] = []
    for k in sorted({*members, *between}):
        if k in between:
            cells += _merged_lines(part) if part else []
            cells.append([" ".join(word.text for word in rows[k].words), *[""] * len(gutters)])
            part = []
        else:
            part.append((cells_of(rows[k], gutters), rows[k]))
    return cells + (_merged_lines(part) if part else [])


def header_rows(above: list[WordRow], members: list[WordRow], gutters: list[Gutter]) -> list[list[str]]:
    """Header rows directly above a table whose names are wider than the columns: each is above a different column."""
    edges = [min(r.left for r in members), *(x for g in gutters for x in g), max(r.right for r in members)]
    centres = [(a + b) / 2 for a, b in zip(edges[::2], edges[1::2])]
    found: list[list[str]] = []
    kept = 0
    below = members[0]
    for row in reversed(above[-HEADS:]):
        names = stretches(row)
        columns = [int(np.argmin([abs(name.left + name.right - 2 * c) for c in centres])) for name in names]
        if (
            not follows(row, below)
            or len(set(columns)) < len(columns)
            or any(is_number(name.text) and not is_period(name.text) for name in names)
        ):
            break
        if row.right - row.left > edges[-1] - edges[0] + row.height:
            break
        cells = [""] * len(centres)
        for name, column in zip(names, columns):
            cells[column] = name.text
        found.insert(0, cells)
        if len(names) > 1:
            kept = len(found)
        below = row
    return found[len(found) - kept :]


def with_names(cells: list[list[str]]) -> list[list[str]]:
    """Cells with a header that is alone in its column moved to the neighbouring column without a header."""
    columns = [list(column) for column in zip(*cells)]
    i = 0
    while i < len(columns):
        alone = columns[i][0] != "" and not any(columns[i][1:])
        nameless = [k for k in (i + 1, i - 1) if 0 <= k < len(columns) and columns[k][0] == ""]
        if alone and nameless:
            columns[nameless[0]][0] = columns[i][0]
            del columns[i]
        else:
            i += 1
    return [list(row) for row in zip(*columns)]


def _with_dollars(cells: list[list[str]]) -> list[list[str]]:
    """Cells with an S before an amount replaced by the dollar sign, in a table that has one elsewhere."""
    if not any("$" in cell for row in cells for cell in row):
        return cells
    found = [[_LIKE_DOLLAR.sub("$", cell) if is_number(cell[1:].strip()) else cell for cell in row] for row in cells]
    for row in found:
        for i, (cell, amount) in enumerate(pairwise(row)):
            if cell == "S" and is_number(amount):
                row[i] = "$"
    return found


def with_currencies(cells: list[list[str]]) -> list[list[str]]:
    """Cells with a column of currency signs joined to the amounts after it; their name may be over either column."""
    columns = [list(column) for column in zip(*_with_dollars(cells))]
    for i in reversed(range(len(columns) - 1)):
        signs = [r for r, cell in enumerate(columns[i]) if _CURRENCY.fullmatch(cell)]
        others = [r for r, cell in enumerate(columns[i]) if cell and r not in signs]
        if signs and all(r < signs[0] and not columns[i + 1][r] for r in others):
            columns[i + 1] = [f"{sign} {cell}".strip() for sign, cell in zip(columns[i], columns[i + 1])]
            del columns[i]
    return [list(row) for row in zip(*columns)]
