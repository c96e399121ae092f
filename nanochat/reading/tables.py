"""Table recognition: columns of words with blank space between them that continues from line to line.

Rules are ignored, so that tables with and without rules are recognised in the same way.
"""

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

# Widths and distances are in type heights.
APART = 1.0  # gap within a line that at least two lines of a table must have
GUTTER, FINE = 0.55, 0.3  # narrowest gutter; narrowest gutter through MANY lines
MANY = 6  # lines
OWN = 0.7  # smallest gap of a line at a gutter,
NUMBERS = 0.35  # between two numbers,
NARROW = 0.35  # and between two cells of a row with wider gaps;
CLEAR = 0.9  # gap that always separates cells, even in a line with much wider gaps
FARTHEST = 3.2  # largest distance between lines of a table
LEVEL = 0.6  # largest vertical offset between cells of the same row
TIGHT = 1.45  # largest distance between lines of a cell
CLEARER = 1.25  # smallest ratio of row distance to line distance if cells have several lines
SPARSE = 3  # a column must have words in at least one of so many lines, or clear gutters
EXCEPTIONS = 5  # one in so many lines may cross a gutter
PROSE_LINES, PROSE_WORDS = 6, 6  # a column with so many lines, half of them with so many words, is prose
SPACES, WIDEST_UNIT = 2.2, 1.5  # smallest width of a space in units; largest unit in type heights
LARGER = 1.12  # times the type height of a table: a larger line below it is a heading
SET_APART = (
    1.2  # times the largest line distance of a table: lines further below that look different are not part of it
)
HEADS = 3  # number of lines above a table that may be its header
SPANNING = 0.7  # of the table's width: longest subtitle between its rows

_NUMBER = re.compile(r"[-+(~<>]*[$€£¥]? ?\d[\d.,'%:/ -]*[)%]?(?: ?[A-Za-z€$£]{1,3})?|[-–—]")
_DATE = re.compile(r"\d{1,2}[ .-]?[A-Za-z]{3,9}[ .,-]*\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4}")  # 3 May 2021, May 3, 2021
_BULLET = re.compile(r"[-*+•◦▪–]")
_CURRENCY = re.compile(r"[$€£¥]|EUR|USD|GBP|CHF|CAD|AUD|JPY|RM|Rs\.?|kr\.?")
ITEM = re.compile(r"(?:[-*+•◦▪–]|\(?\d{1,2}[.)]|\(?[a-z]\))")  # start of a list item


class Word(NamedTuple):
    """A word with its start and end on the line."""

    text: str
    left: float
    right: float


@dataclass(frozen=True)
class Row:
    """A line of words from left to right."""

    words: tuple[Word, ...]
    middle: float
    """vertical position on the page"""
    height: float
    """type height"""
    unit: float = 0.0
    """unit of its gaps: the type height, or more if the spaces of the page are wide"""

    @property
    def left(self) -> float:
        return min(word.left for word in self.words)

    @property
    def right(self) -> float:
        return max(word.right for word in self.words)

    @property
    def widest_gap(self) -> float:
        """The gaps between its words, in units."""
        return max(self.gaps, default=0.0) / (self.unit or self.height)

    @property
    def gaps(self) -> list[float]:
        """The gaps between its words, in pixels."""
        ordered = sorted(self.words, key=lambda word: word.left)
        return [b.left - a.right for a, b in pairwise(ordered)]


@dataclass
class Table:
    """The lines `first` to `last`, inclusive, as cells (rows, columns); an empty cell is an empty string."""

    first: int
    last: int
    cells: list[list[str]] = field(default_factory=list)

    @property
    def numeric(self) -> list[bool]:
        """For each column: whether most of its cells below the first row are numbers."""
        found = []
        for column in zip(*self.cells[1:]):
            filled = [cell for cell in column if cell]
            found.append(bool(filled) and 2 * sum(map(is_number, filled)) > len(filled))
        return found

    @property
    def has_header(self) -> bool:
        """Whether the first row is a header: it has no number in a column of numbers."""
        return not any(numeric and is_number(cell) for cell, numeric in zip(self.cells[0], self.numeric))


def is_number(text: str) -> bool:
    """Whether a cell is a number, an amount, a date, or a dash in place of one."""
    return _NUMBER.fullmatch(text) is not None or _DATE.fullmatch(text) is not None


Gutter = tuple[float, float]


def _gutters(rows: list[Row]) -> list[Gutter]:
    """Gutters: blank space through nearly all rows, with words of at least two rows on both sides."""
    left, right = min(row.left for row in rows), max(row.right for row in rows)
    height = float(np.median([row.unit or row.height for row in rows]))
    covered = np.zeros(max(1, round(right - left)) + 1, int)
    for row in rows:
        mine = np.zeros_like(covered)
        for word in row.words:
            mine[max(0, round(word.left - left)) : max(0, round(word.right - left))] = 1
        covered += mine
    blank = covered <= len(rows) // EXCEPTIONS
    edges = np.flatnonzero(np.diff(np.concatenate([[0], blank.astype(int), [0]])))
    least = (FINE if len(rows) >= MANY else GUTTER) * height
    found = [(left + a, left + b) for a, b in edges.reshape(-1, 2) if b - a >= least]
    few = len(rows) // EXCEPTIONS
    used = [
        g for g in found if sum(_uses(row, g) for row in rows) >= 2 and sum(_crosses(row, g) for row in rows) <= few
    ]
    return _without_stray_columns(rows, used) if len(rows) > 2 else used


def _without_stray_columns(rows: list[Row], gutters: list[Gutter]) -> list[Gutter]:
    """Gutters without accidental ones: beside a column of few words, the narrower gutter is dropped."""
    kept = list(gutters)
    height = float(np.median([row.unit or row.height for row in rows]))
    i = 0
    while i + 1 < len(kept):
        (_, left), (right, _) = kept[i : i + 2]
        n_rows = sum(any(2 * left < word.left + word.right < 2 * right for word in row.words) for row in rows)
        widths = [b - a for a, b in kept[i : i + 2]]
        if n_rows > 1 and (n_rows * SPARSE >= len(rows) or min(widths) >= CLEAR * height):
            i += 1
        else:
            del kept[i + widths.index(min(widths))]
    return kept


def _uses(row: Row, gutter: Gutter) -> bool:
    """Whether a row has words on both sides of a gutter, with clearly more than a space between them."""
    middle = (gutter[0] + gutter[1]) / 2
    before = [word for word in row.words if word.left + word.right < 2 * middle]
    after = [word for word in row.words if word.left + word.right > 2 * middle]
    if not before or not after:
        return False
    last, first = max(before, key=lambda word: word.right), min(after, key=lambda word: word.left)
    gap = (first.left - last.right) / (row.unit or row.height)
    if is_number(last.text) and is_number(first.text):
        return gap >= NUMBERS
    shared = min(first.left, gutter[1]) - max(last.right, gutter[0])
    if row.widest_gap >= APART and gap >= NARROW and 2 * shared >= gutter[1] - gutter[0]:
        return True  # it is a row in any case, and its gap is where those of the other rows are
    return gap >= OWN and (gap >= CLEAR or 2 * gap >= row.widest_gap)


def _crosses(row: Row, gutter: Gutter) -> bool:
    """Whether a row continues across a gutter like running text."""
    return row.left < gutter[0] and row.right > gutter[1] and not _uses(row, gutter)


def _follows(above: Row, row: Row) -> bool:
    low, high = sorted((above.height, row.height))
    return high < 1.5 * low and -LEVEL * low < row.middle - above.middle < FARTHEST * high


def _is_set_apart(rows: list[Row]) -> bool:
    """Whether the distance above the last of at least three rows is clearly larger than all others."""
    pitches = [b.middle - a.middle for a, b in pairwise(rows)]
    return len(pitches) > 1 and pitches[-1] > SET_APART * max(pitches[:-1])


def _looks_otherwise(members: list[Row], row: Row, gutters: list[Gutter]) -> bool:
    """Whether a row is a heading, or begins another table."""
    n_stretches = len(_stretches(row))
    if n_stretches == 1:
        return row.height > LARGER * float(np.median([member.height for member in members]))
    return n_stretches > len(gutters) + 1 or len(_gutters([*members, row])) < len(gutters)


def _grow(rows: list[Row], first: int) -> tuple[list[int], list[int], list[Gutter]]:
    """(lines with columns, lines without columns between them, gutters) of the table that begins with a line."""
    members = [first]
    between: list[int] = []
    waiting: list[int] = []
    gutters: list[Gutter] = []
    for i in range(first + 1, len(rows)):
        row = rows[i]
        if not _follows(rows[i - 1], row):
            break
        if (
            gutters
            and _is_set_apart(rows[first : i + 1])
            and _looks_otherwise([rows[k] for k in members], row, gutters)
        ):
            break
        if gutters and not any(_crosses(row, g) for g in gutters) and not any(_uses(row, g) for g in gutters):
            waiting.append(i)  # within one column: a further line of a cell, or text after the table
            continue
        members_with = [*members, *[w for w in waiting if w not in between], i]
        wider = _gutters([rows[k] for k in members_with])
        uses, crosses = (sum(test(row, g) for g in wider) for test in (_uses, _crosses))
        fits = uses > 0 and 2 * crosses <= uses and not (row.widest_gap >= APART and crosses)
        if fits and 2 * len(wider) >= len(gutters):
            members, gutters, waiting = members_with, wider, []
            continue
        width = max(rows[k].right for k in members) - min(rows[k].left for k in members)
        if not gutters or row.widest_gap >= APART or row.right - row.left > SPANNING * width or len(waiting) > 1:
            break
        between.append(i)
        waiting.append(i)
    between = [i for i in between if i < members[-1]]
    starts = [i for i in members if gutters and 2 * sum(_uses(rows[i], g) for g in gutters) > len(gutters)]
    usual = float(np.median([(rows[b].middle - rows[a].middle) / (b - a) for a, b in pairwise(starts)] or [0.0]))
    for i in waiting:  # cells of the last row may have further lines
        pitch = rows[i].middle - rows[i - 1].middle
        beneath = bool(gutters) and rows[i].left > gutters[0][0] and pitch < TIGHT * rows[i].height
        if i != members[-1] + 1 or not (beneath or pitch * CLEARER < usual):
            break
        members.append(i)
    return members, between, gutters


def _cells(row: Row, gutters: list[Gutter]) -> list[str]:
    """The text of a row in each column; if it has as many parts as there are columns, one each, wherever they start."""
    if len(stretches := _stretches(row)) == len(gutters) + 1:
        return [stretch.text for stretch in stretches]
    columns: list[list[str]] = [[] for _ in range(len(gutters) + 1)]
    for word in sorted(row.words, key=lambda word: word.left):
        middle = (word.left + word.right) / 2
        columns[sum(middle > (a + b) / 2 for a, b in gutters)].append(word.text)
    return [" ".join(words) for words in columns]


def _goes_on(above: list[str], cells: list[str], pitch: float, usual: float) -> bool:
    """Whether a line is more of the row above.

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


def _merged(lines: list[tuple[list[str], Row]]) -> list[list[str]]:
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


def _has_prose(members: list[Row], gutters: list[Gutter]) -> bool:
    """Whether a column is running text rather than a column of a table."""
    columns = [list(filter(None, column)) for column in zip(*(_cells(row, gutters) for row in members))]
    words = [[len(line.split()) for line in lines] for lines in columns]
    return any(len(counts) >= PROSE_LINES and float(np.median(counts)) >= PROSE_WORDS for counts in words)


def _is_table(members: list[Row], cells: list[list[str]], gutters: list[Gutter]) -> bool:
    seeds = sum(row.widest_gap >= APART for row in members)
    if not gutters or seeds < 2 or len(cells) < (3 if len(gutters) == 1 else 2):
        return False
    markers = [row[0] for row in cells if row[0]]
    return not all(ITEM.fullmatch(marker) for marker in markers)


def _level_lines(rows: list[Row]) -> list[tuple[Row, int, int]]:
    """Lines at the same height joined: (the row, its first line, its last line)."""
    found: list[tuple[Row, int, int]] = []
    for i, row in enumerate(rows):
        if found:
            above, first, _ = found[-1]
            beside = row.left > above.right or row.right < above.left
            between = any(b.left > row.right and a.right < row.left for a, b in pairwise(above.words))
            if abs(row.middle - above.middle) < LEVEL * min(row.height, above.height) and (beside or between):
                words = tuple(sorted((*above.words, *row.words), key=lambda word: word.left))
                found[-1] = replace(above, words=words), first, i
                continue
        found.append((row, i, i))
    return found


def _with_mark(row: Row) -> Row:
    """A row with a list marker joined to its next word; any other row unchanged."""
    mark, *rest = sorted(row.words, key=lambda word: word.left)
    stretches = _stretches(row)
    alone = len(stretches) == 2 and ITEM.fullmatch(mark.text) is not None and stretches[0].text == mark.text
    if not rest or not (alone or (_BULLET.fullmatch(mark.text) and len(stretches[0].text) == 1)):
        return row
    return replace(row, words=(Word(f"{mark.text} {rest[0].text}", mark.left, rest[0].right), *rest[1:]))


def find_tables(lines: list[Row]) -> list[Table]:
    """The tables among the lines of a page in reading order; the lines of a table are consecutive."""
    spaces = [gap / line.height for line in lines for gap in line.gaps]
    wider = min(WIDEST_UNIT, max(1.0, SPACES * float(np.percentile(spaces, 25)))) if spaces else 1.0
    level = _level_lines([_with_mark(replace(line, unit=wider * line.height)) for line in lines])
    rows = [row for row, _, _ in level]
    found: list[Table] = []
    i = 0
    while i < len(rows):
        if rows[i].widest_gap < OWN:
            i += 1
            continue
        members, between, gutters = _grow(rows, i)
        cells = _merged_around(rows, members, between, gutters)
        around = [rows[k] for k in members]
        if _has_prose(around, gutters):
            i = members[-1] + 1
            continue
        if not _is_table(around, cells, gutters):
            i += 1
            continue
        free = found[-1].last + 1 if found else 0
        head = _heads([rows[k] for k in range(members[0]) if level[k][1] >= free], [rows[k] for k in members], gutters)
        cells = _with_currencies(_with_names(head + cells))
        found.append(Table(level[members[0] - len(head)][1], level[members[-1]][2], cells))
        i = members[-1] + 1
    return found


def _stretches(row: Row) -> list[Word]:
    """The words of a row; words separated by no more than a space are joined."""
    found: list[Word] = []
    for word in sorted(row.words, key=lambda word: word.left):
        if found and word.left - found[-1].right < OWN * (row.unit or row.height):
            found[-1] = Word(f"{found[-1].text} {word.text}", found[-1].left, word.right)
        else:
            found.append(word)
    return found


def _heads(above: list[Row], members: list[Row], gutters: list[Gutter]) -> list[list[str]]:
    """Header rows directly above a table whose names are wider than the columns: each is above a different column."""
    edges = [min(r.left for r in members), *(x for g in gutters for x in g), max(r.right for r in members)]
    centres = [(a + b) / 2 for a, b in zip(edges[::2], edges[1::2])]
    found: list[list[str]] = []
    kept = 0
    below = members[0]
    for row in reversed(above[-HEADS:]):
        names = _stretches(row)
        columns = [int(np.argmin([abs(name.left + name.right - 2 * c) for c in centres])) for name in names]
        if not _follows(row, below) or len(set(columns)) < len(columns) or any(is_number(name.text) for name in names):
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


def _with_names(cells: list[list[str]]) -> list[list[str]]:
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


def _with_currencies(cells: list[list[str]]) -> list[list[str]]:
    """Cells with a column of currency signs joined to the amounts after it."""
    columns = [list(column) for column in zip(*cells)]
    for i in reversed(range(len(columns) - 1)):
        filled = [cell for cell in columns[i] if cell]
        if filled and all(map(_CURRENCY.fullmatch, filled)):
            columns[i + 1] = [f"{sign} {cell}".strip() for sign, cell in zip(columns[i], columns[i + 1])]
            del columns[i]
    return [list(row) for row in zip(*columns)]


def _merged_around(rows: list[Row], members: list[int], between: list[int], gutters: list[Gutter]) -> list[list[str]]:
    """The rows of a table, with the lines without columns between them."""
    cells: list[list[str]] = []
    part: list[tuple[list[str], Row]] = []
    for k in sorted({*members, *between}):
        if k in between:
            cells += _merged(part) if part else []
            cells.append([" ".join(word.text for word in rows[k].words), *[""] * len(gutters)])
            part = []
        else:
            part.append((_cells(rows[k], gutters), rows[k]))
    return cells + (_merged(part) if part else [])
