"""Table recognition: columns of words with blank space between them that continues from line to line.

Rules are ignored, so that tables with and without rules are recognised in the same way.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from nanochat.reading.cells import (
    CLEARER,
    LEVEL,
    OWN,
    TIGHT,
    Gutter,
    Word,
    WordRow,
    cells_of,
    follows,
    header_rows,
    is_number,
    is_period,
    merged,
    stretches,
    with_currencies,
    with_names,
)
from nanochat.reading.list_marks import BULLET, MARK

# Widths and distances are in type heights.
APART = 1.0  # gap within a line that at least two lines of a table must have
GUTTER, FINE = 0.55, 0.3  # narrowest gutter; narrowest gutter through MANY lines
MANY = 6  # lines
NUMBERS = 0.35  # smallest gap of a line at a gutter between two numbers,
NARROW = 0.35  # and between two cells of a row with wider gaps
CLEAR = 0.9  # gap that always separates cells, even in a line with much wider gaps
SPARSE = 3  # a column must have words in at least one of so many lines, or clear gutters
EXCEPTIONS = 5  # one in so many lines may cross a gutter
PROSE_LINES, PROSE_WORDS = 6, 6  # a column with so many lines, half of them with so many words, is prose
SPACES, WIDEST_UNIT = 2.2, 1.5  # smallest width of a space in units; largest unit in type heights
LARGER = 1.12  # times the type height of a table: a larger line below it is a heading
SET_APART = 1.2  # times a table's largest line distance: lines further below that look different do not belong to it
SPANNING = 0.7  # of the table's width: longest subtitle between its rows


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
        """Whether the first row is a header: it has no numbers over columns of numbers.

        Dates and years are allowed, because they can name columns, if there are no others below.
        """
        first = [cell for cell, numeric in zip(self.cells[0], self.numeric) if numeric and is_number(cell)]
        below = [cell for row in self.cells[1:] for cell, numeric in zip(row, self.numeric) if numeric]
        name_columns = (len(first) > 1 or not self.cells[0][0]) and all(map(is_period, first))
        return not first or (name_columns and not any(map(is_period, below)))


def _gutters(rows: list[WordRow]) -> list[Gutter]:
    """Gutters: blank space through nearly all rows, with words of at least two rows on both sides."""
    left, right = min(row.left for row in rows), max(row.right for row in rows)
    height = float(np.median([row.unit for row in rows]))
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


def _without_stray_columns(rows: list[WordRow], gutters: list[Gutter]) -> list[Gutter]:
    """Gutters without accidental ones: beside a column of few words, the narrower gutter is dropped."""
    kept = list(gutters)
    height = float(np.median([row.unit for row in rows]))
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


def _uses(row: WordRow, gutter: Gutter) -> bool:
    """Whether a row has words on both sides of a gutter, with clearly more than a space between them."""
    middle = (gutter[0] + gutter[1]) / 2
    before = [word for word in row.words if word.left + word.right < 2 * middle]
    after = [word for word in row.words if word.left + word.right > 2 * middle]
    if not before or not after:
        return False
    last, first = max(before, key=lambda word: word.right), min(after, key=lambda word: word.left)
    gap = (first.left - last.right) / row.unit
    if is_number(last.text) and is_number(first.text):
        return gap >= NUMBERS
    shared = min(first.left, gutter[1]) - max(last.right, gutter[0])
    if row.widest_gap >= APART and gap >= NARROW and 2 * shared >= gutter[1] - gutter[0]:
        return True  # it is a row in any case, and its gap is where those of the other rows are
    return gap >= OWN and (gap >= CLEAR or 2 * gap >= row.widest_gap)


def _crosses(row: WordRow, gutter: Gutter) -> bool:
    """Whether a row continues across a gutter like running text."""
    return row.left < gutter[0] and row.right > gutter[1] and not _uses(row, gutter)


def _has_wide_cell(row: WordRow, members: list[WordRow], gutters: list[Gutter]) -> bool:
    """Whether a row has one cell in the first column and one that extends over several of the other columns."""
    pieces = stretches(row)
    if len(pieces) != 2 or row.right > max(member.right for member in members) + row.height:
        return False
    first, wide = pieces
    return first.right <= gutters[0][1] <= wide.left + row.height and any(
        wide.left < a and b < wide.right for a, b in gutters[1:]
    )


def _is_set_apart(rows: list[WordRow]) -> bool:
    """Whether the distance above the last of at least three rows is clearly larger than all others."""
    pitches = [b.middle - a.middle for a, b in pairwise(rows)]
    return len(pitches) > 1 and pitches[-1] > SET_APART * max(pitches[:-1])


def _looks_otherwise(members: list[WordRow], row: WordRow, gutters: list[Gutter]) -> bool:
    """Whether a row is a heading, or begins another table."""
    n_stretches = len(stretches(row))
    if n_stretches == 1:
        return row.height > LARGER * float(np.median([member.height for member in members]))
    return n_stretches > len(gutters) + 1 or len(_gutters([*members, row])) < len(gutters)


def _grow(rows: list[WordRow], first: int) -> tuple[list[int], list[int], list[Gutter]]:
    """(lines with columns, lines without columns between them, gutters) of the table that begins with a line."""
    members = [first]
    wide: list[int] = []
    between: list[int] = []
    waiting: list[int] = []
    gutters: list[Gutter] = []
    for i in range(first + 1, len(rows)):
        row = rows[i]
        if not follows(rows[i - 1], row):
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
        if gutters and _has_wide_cell(row, [rows[k] for k in members], gutters):
            wide.append(i)
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
    members = sorted([*members, *wide])
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


def _has_prose(members: list[WordRow], gutters: list[Gutter]) -> bool:
    """Whether a column is running text rather than a column of a table."""
    columns = [list(filter(None, column)) for column in zip(*(cells_of(row, gutters) for row in members))]
    words = [[len(line.split()) for line in lines] for lines in columns]
    return any(len(counts) >= PROSE_LINES and float(np.median(counts)) >= PROSE_WORDS for counts in words)


def _is_table(members: list[WordRow], cells: list[list[str]], gutters: list[Gutter]) -> bool:
    seeds = sum(row.widest_gap >= APART for row in members)
    if not gutters or seeds < 2 or len(cells) < (3 if len(gutters) == 1 else 2):
        return False
    markers = [row[0] for row in cells if row[0]]
    return not all(MARK.fullmatch(marker) for marker in markers)


def _level_lines(rows: list[WordRow]) -> list[tuple[WordRow, int, int]]:
    """Lines at the same height joined: (the row, its first line, its last line)."""
    found: list[tuple[WordRow, int, int]] = []
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


def _with_mark(row: WordRow) -> WordRow:
    """A row with a list marker joined to its next word; any other row unchanged."""
    mark, *rest = sorted(row.words, key=lambda word: word.left)
    pieces = stretches(row)
    alone = len(pieces) == 2 and MARK.fullmatch(mark.text) is not None and pieces[0].text == mark.text
    if not rest or not (alone or (BULLET.fullmatch(mark.text) and len(pieces[0].text) == 1)):
        return row
    return replace(row, words=(Word(f"{mark.text} {rest[0].text}", mark.left, rest[0].right), *rest[1:]))


def find_tables(lines: list[WordRow]) -> list[Table]:
    """The tables among the lines of a page in reading order; the lines of a table are consecutive."""
    spaces = [gap / line.height for line in lines for gap in line.gaps]
    wider = min(WIDEST_UNIT, max(1.0, SPACES * float(np.percentile(spaces, 25)))) if spaces else 1.0
    level = _level_lines([_with_mark(replace(line, spaced=wider)) for line in lines])
    rows = [row for row, _, _ in level]
    found: list[Table] = []
    i = 0
    while i < len(rows):
        if rows[i].widest_gap < OWN:
            i += 1
            continue
        members, between, gutters = _grow(rows, i)
        cells = merged(rows, members, between, gutters)
        around = [rows[k] for k in members]
        if _has_prose(around, gutters):
            i = members[-1] + 1
            continue
        if not _is_table(around, cells, gutters):
            i += 1
            continue
        free = found[-1].last + 1 if found else 0
        head = header_rows(
            [rows[k] for k in range(members[0]) if level[k][1] >= free], [rows[k] for k in members], gutters
        )
        cells = with_currencies(with_names(head + cells))
        found.append(Table(level[members[0] - len(head)][1], level[members[-1]][2], cells))
        i = members[-1] + 1
    return found
