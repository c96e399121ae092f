"""In which order the rows of a page are read: one after the other, but column by column where there are columns.

A gutter is looked for where stretches begin at one place beside others, over several rows that no line crosses. What
stands left and right of it are columns if both are running text (`prose`) or stacks of short lines (`stacks`), and not
if they are the cells of a table, whose rows stay whole.
"""

from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nanochat.lines.extent import begins_with_row_above, end_of_footnotes, end_of_longer, is_crossed, split
from nanochat.lines.gutters import REACH
from nanochat.lines.placed import Placed, Row, with_one_edge
from nanochat.lines.prose import LINES, MOSTLY, is_running_text
from nanochat.lines.rules import Rule
from nanochat.lines.stacks import Stack, are_stacks, has_rows, is_list_beside
from nanochat.lines.tiers import in_blocks

Prose = tuple[float, float]  # share of a column's width that its lines fill, and its least width in type heights
NEAR, FAR = (0.6, 6.0), (0.7, 10.0)  # of columns whose gutter is narrow, and of others: a table's are wider
GUTTER = 2.5  # type heights: a narrow one
BALANCE = 0.25  # rows of the shorter of two columns over those of the longer
MOST_PARTS = 500  # of a page that are looked at: twice what any page of text takes
LOOSE = 2.8, 1.6  # type heights from one row to the next: more begins something else; the second where type grows
HEADING = 1.35  # times the type of the rows below: that of a heading over them all
APART = 1.2  # times the distance from row to row: a line over both columns is so far from them at least
LARGER = 1.2  # times the type of the row before


class _Place(NamedTuple):
    """Rows that may stand in columns: the first, one past the last, an x between two columns."""

    start: int
    end: int
    x: float


class _Verdict(Enum):
    """What stands left and right of a gutter."""

    NOTHING = "neither columns nor a table"
    TABLE = "cells of a table whose rows stay whole"
    STACKS = "columns of short lines"
    PROSE = "columns of running text"


class _Columns(NamedTuple):
    """Rows that stand in columns, and what is read one after the other."""

    place: _Place
    parts: list[list[Row]]


class _Search:
    """What is known of a page while its columns are looked for."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        self.prose: dict[tuple[Prose, frozenset[Placed]], bool] = {}

    def is_prose(self, rows: list[Row], prose: Prose) -> bool:
        """Whether rows are one column of running text, or columns of it from the first row to the last or nearly so."""
        text = prose, frozenset(s for row in rows for s in row)
        if text not in self.prose:
            if len(self.prose) >= MOST_PARTS:
                return False
            self.prose[text] = is_running_text(rows, *prose) or self.columns(rows, prose, MOSTLY) is not None
        return self.prose[text]

    def beside(self, left: list[Row], right: list[Row], prose: Prose) -> bool:
        """Whether what stands left and right of a gutter is prose, and neither much shorter than the other."""
        low, high = sorted((len(left), len(right)))
        if low < BALANCE * high:
            return False
        gutter = min(row[0].left for row in right) - max(row[-1].right for row in left)
        prose = max(prose, NEAR if gutter < GUTTER * right[0][0].height else FAR)
        return self.is_prose(left, prose) and self.is_prose(right, prose)

    def judge(self, rows: list[Row], place: _Place, prose: Prose, only_prose: bool = False) -> _Verdict:
        """What stands left and right of a place where columns may be."""
        here = rows[place.start : place.end]
        left, right = split(here, place.x)
        if min(len(left), len(right)) < LINES:
            return _Verdict.NOTHING
        if has_rows(left, right, self.rules):
            return _Verdict.TABLE
        if self.beside(left, right, prose):
            return _Verdict.PROSE
        if only_prose or is_crossed(here, place.x) or not _is_bounded(rows, place):
            return _Verdict.NOTHING
        if are_stacks(left, right, self.rules) or _is_sidebar(left, right) or _is_sidebar(right, left):
            return _Verdict.STACKS
        return _Verdict.NOTHING

    def blocks(self, rows: list[Row], place: _Place) -> _Columns | None:
        """A place as blocks, each read to its end; None where there are none, or a stretch lies across the gutter."""
        if is_crossed(rows[place.start : place.end], place.x) or not _is_bounded(rows, place):
            return None
        start, _, x = place
        headed = start > 0 and all(split([rows[start - 1]], x)) and not is_crossed([rows[start - 1]], x)
        for wider in dict.fromkeys((_Place(start - headed, end_of_longer(rows, *place), x), place)):
            here = rows[wider.start : wider.end]
            found = in_blocks(here, *split(here, x), self.rules)
            if found:
                return _Columns(wider, found)
        return None

    def columns(self, rows: list[Row], prose: Prose = NEAR, share: float = 0.0) -> _Columns | None:
        """The most rows, at least this share of them, that stand in columns. share > 0: of running text only."""
        tables: list[_Place] = []
        places = _places(rows, prose)
        for place in places:
            if place.end - place.start < share * len(rows):
                break
            if any(table.start <= place.start and place.end <= table.end for table in tables):
                continue
            blocks = None if share else self.blocks(rows, place)
            if blocks is not None:
                return blocks
            verdict = self.judge(rows, place, prose, share > 0)
            if verdict is _Verdict.TABLE:
                tables.append(place)
            elif verdict is not _Verdict.NOTHING:
                if not share:
                    place = self.whole(rows, place, [p for p in places if p.x == place.x], prose)
                return _Columns(place, list(split(rows[place.start : place.end], place.x)))
        return None

    def whole(self, rows: list[Row], place: _Place, others: list[_Place], prose: Prose) -> _Place:
        """Columns with what stands above and below them at the same gutter, and with the footnotes below that."""
        near = [p for p in others if p.end == place.start or p.start == place.end]
        while near:
            other = near.pop()
            if self.judge(rows, other, prose) in (_Verdict.STACKS, _Verdict.PROSE):
                place = _Place(min(place.start, other.start), max(place.end, other.end), place.x)
                near = [p for p in others if p.end == place.start or p.start == place.end]
        place = place._replace(end=end_of_longer(rows, *place))
        place = place._replace(end=end_of_footnotes(rows, *place))
        return place._replace(start=place.start + begins_with_row_above(rows[place.start : place.end]))

    def in_order(self, rows: list[Row], is_column: bool = False) -> list[Row]:
        """As the function. is_column: of one side of a gutter, whose running text is only divided as a whole."""
        share = MOSTLY if is_column and is_running_text(rows, *NEAR) else 0.0
        columns = self.columns(rows, share=share) if len(rows) > 1 else None
        if columns is None:
            return rows
        before, after = rows[: columns.place.start], rows[columns.place.end :]
        within = [self.in_order(part, is_column=True) for part in columns.parts]
        return [row for part in (self.in_order(before), *within, self.in_order(after)) for row in part]


def _starts(rows: list[Row]) -> list[float]:
    """A little left of where segments begin, two or more at one place, but for the leftmost."""
    return [group[0].left - 0.3 * group[0].height for group in with_one_edge(rows)[1:] if len(group) > 1]


def _apart(last: Row, this: Row, loose: float) -> bool:
    """Whether so much room is between two rows that something new begins; before larger type, less is enough."""
    low, high = max(s.height for s in last), max(s.height for s in this)
    loose = min(LOOSE) if high > LARGER * low else loose
    return min(s.y for s in this) - min(s.y for s in last) > loose * max(low, high)


def _breaks(rows: list[Row]) -> list[list[bool]]:
    """For more room and for less: whether something new begins with each row."""
    return [[True, *(_apart(last, this, loose) for last, this in pairwise(rows))] for loose in LOOSE]


def _blocks(rows: list[Row], breaks: list[list[bool]], reach: float, x: float) -> list[tuple[int, int]]:
    """Where rows follow each other that do not cross x by `reach` px: first, one past the last.

    `breaks`: of these rows, as `_breaks` finds them.
    """
    crosses = [any(s.left < x - reach and s.right > x + reach for s in row) for row in rows]
    found: set[tuple[int, int]] = set()
    for new in breaks:
        start = 0
        for i in range(1, len(rows) + 1):
            if i == len(rows) or crosses[i] or crosses[i - 1] or new[i]:
                if not crosses[start]:
                    found.add((start, i))
                start = i
    return sorted(found)


def _above_what_follows(rows: list[Row], x: float, prose: Prose) -> list[Row]:
    """Rows but for what stands below both columns: after a gap where one ends, left or right of x, no running text."""
    both = [i for i, row in enumerate(rows) if all(split([row], x))]
    last = both[-1] if both else len(rows)
    for i in range(last + 1, min(last + 3, len(rows) - LINES + 1)):
        if _apart(rows[i - 1], rows[i], min(LOOSE)) and not is_running_text(rows[i:], *prose):
            return rows[:i]
    return rows


def _places(rows: list[Row], prose: Prose) -> list[_Place]:
    """Where columns may stand, the most rows first; of as many, the place whose gutter is further left."""
    found: dict[_Place, None] = {}
    starts = _starts(rows)
    if not starts:
        return []
    breaks, reach = _breaks(rows), REACH * float(np.median([s.height for row in rows for s in row]))
    for x in starts:
        for start, end in _blocks(rows, breaks, reach, x):
            end = start + len(_above_what_follows(rows[start:end], x, prose))
            start += begins_with_row_above(rows[start:end])
            left, right = split(rows[start:end], x)
            if not left or not right:
                continue
            later = max(left[0][0], right[0][0], key=lambda s: s.y)
            both = next(i for i in range(start, end) if later in rows[i])
            for first in sorted({start, min(start + 1, both), both}):  # above the columns a heading may stand
                if first > start or not _is_heading(rows, start):
                    found[_Place(first, end, x)] = None
    return sorted(found, key=lambda place: place.start - place.end)


def _is_heading(rows: list[Row], i: int) -> bool:
    """Whether a row is one stretch of much larger type than the rows below it: it stands over all of them."""
    below = [s.height for row in rows[i + 1 : i + 4] for s in row]
    return len(rows[i]) == 1 and bool(below) and rows[i][0].height > HEADING * float(np.median(below))


def _is_sidebar(rows: list[Row], text: list[Row]) -> bool:
    """Whether rows on one side of a gutter are a list beside the running text on the other side."""
    text_is_left = text[0][0].left < rows[0][0].left
    is_list = is_list_beside(Stack(rows, not text_is_left), Stack(text, text_is_left))
    return is_list and is_running_text(text, *FAR) and not is_running_text(rows, *FAR)


def _is_bounded(rows: list[Row], place: _Place) -> bool:
    """Whether rows that cross the gutter above and below it, if any, are further away than the lines of a column.

    Larger type is not: a heading may stand close over columns.
    """
    start, end, x = place
    y = [float(np.mean([s.y for s in row])) for row in rows[max(0, start - 1) : end + 1]]
    steps = np.diff(y)
    usual = float(np.median(steps))
    height = LARGER * float(np.median([s.height for row in rows[start:end] for s in row]))
    near = [i for i in (start - 1, end) if 0 <= i < len(rows)]
    crosses = [i for i in near if any(s.left < x < s.right and s.height < height for s in rows[i])]
    return all(steps[0 if i < start else -1] > APART * usual for i in crosses)


def in_order(rows: list[Row], rules: list[Rule] | None = None) -> list[Row]:
    """Rows of a page, from top to bottom, as they are read: columns from the left, in parts where need be.

    rules: the horizontal rules drawn on the page.
    """
    return _Search(rules or []).in_order(rows)
