"""The reading order of the rows of a page: from top to bottom, but column by column where there are columns.

A candidate gutter is an x at which segments of several consecutive rows begin to the right of others, and that no line
crosses. The segments on both sides of it are columns if both sides are running text (`prose`) or stacks of short lines
(`stacks`). If they are the cells of a table, the rows stay whole.
"""

from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nanochat.lines.extent import begins_with_row_above, end_of_footnotes, end_of_longer, is_crossed, split
from nanochat.lines.gutters import ALIGNED, REACH
from nanochat.lines.placed import Placed, Row, mean_y, with_one_edge
from nanochat.lines.prose import LINES, MOSTLY, is_running_text
from nanochat.lines.quantiles import middle
from nanochat.lines.rules import Rule
from nanochat.lines.stacks import Stack, are_stacks, has_rows, is_list_beside, is_out_of_step
from nanochat.lines.tiers import addresses, labelled_blocks

Prose = tuple[float, float]  # share of a column that running text fills, and its least width in type heights
NEAR, FAR = (0.6, 6.0), (0.7, 10.0)  # for columns with a narrow gutter, and for others: gutters of tables are wider
GUTTER = 2.5  # type heights: widest narrow gutter
BALANCE = 0.25  # least ratio of the rows of the shorter of two columns to those of the longer
MOST_PARTS = 500  # most groups of rows per page that are tested for running text: twice what pages of text need
LOOSE = 2.8, 1.6  # type heights: largest row distance within a block; the same before larger type
HEADING = 1.35  # least type size of a heading over columns, relative to the rows below
APART = 1.2  # least distance of a line over both columns, relative to the row distance
FLUSH, INSET = 0.7, 2.0  # type heights: how far the text below may begin from its edge; if it is right of a box
FLOWING, ENDS = 6, 4.0  # text that flows around a box: least lines; least difference of their ends in type heights
RULED = 4.0  # type heights: largest distance between the rules of a table's rows
BETWEEN = 12.0  # type heights from one row of blocks to the next, at most: on a sheet of labels
LARGER = 1.2  # times the type of the row before


class _Place(NamedTuple):
    """Rows that may form columns: the first row, one past the last, and an x between two columns."""

    start: int
    end: int
    x: float


class _Verdict(Enum):
    """What the two sides of a gutter are."""

    NOTHING = "neither columns nor a table"
    TABLE = "cells of a table whose rows stay whole"
    STACKS = "columns of short lines"
    PROSE = "columns of running text"


class _Columns(NamedTuple):
    """Rows that form columns, and their blocks in reading order."""

    place: _Place
    parts: list[list[Row]]


class _Search:
    """The state of the search for columns on one page."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        self.prose: dict[tuple[Prose, frozenset[Placed]], bool] = {}

    def is_prose(self, rows: list[Row], prose: Prose) -> bool:
        """Whether rows are one column of running text, or columns of it that cover all or nearly all of the rows."""
        text = prose, frozenset(s for row in rows for s in row)
        if text not in self.prose:
            if len(self.prose) >= MOST_PARTS:
                return False
            self.prose[text] = is_running_text(rows, *prose) or self.columns(rows, prose, MOSTLY) is not None
        return self.prose[text]

    def beside(self, left: list[Row], right: list[Row], prose: Prose) -> bool:
        """Whether both sides of a gutter are running text, and neither is much shorter than the other."""
        low, high = sorted((len(left), len(right)))
        if low < BALANCE * high:
            return False
        gutter = min(row[0].left for row in right) - max(row[-1].right for row in left)
        prose = max(prose, NEAR if gutter < GUTTER * right[0][0].height else FAR)
        return self.is_prose(left, prose) and self.is_prose(right, prose)

    def judge(self, rows: list[Row], place: _Place, prose: Prose, only_prose: bool = False) -> _Verdict:
        """Classify the two sides of a place that may have columns."""
        here = rows[place.start : place.end]
        left, right = split(here, place.x)
        if min(len(left), len(right)) < LINES:
            return _Verdict.NOTHING
        if has_rows(left, right, self.rules):
            return _Verdict.TABLE
        if self.beside(left, right, prose):
            return _Verdict.PROSE
        if only_prose or is_crossed(here, place.x):
            return _Verdict.NOTHING
        if not _is_bounded(rows, place):
            return _Verdict.STACKS if self.flows_around(rows, place, prose) else _Verdict.NOTHING
        if are_stacks(left, right, self.rules) or _is_sidebar(left, right) or _is_sidebar(right, left):
            return _Verdict.STACKS
        return _Verdict.NOTHING

    def flows_around(self, rows: list[Row], place: _Place, prose: Prose) -> bool:
        """Whether one side is running text that continues below the other side, as around an infobox."""
        here = rows[place.start : place.end]
        sides = split(here, place.x)
        if place.end == len(rows) or not _is_bounded(rows, place._replace(end=len(rows))):
            return False
        below = rows[place.end][0]
        beside, under = (max(row[-1].right for row in some) for some in (here, rows[place.end :][:FLOWING]))
        if under < beside - ENDS * below.height:  # not as wide as text and box together
            return False
        edge = float(np.median([row[0].left for row in sides[0]]))
        for text, box, inset in ((*sides, FLUSH), (*sides[::-1], INSET)):
            low, high = sorted((text[-1][0].height, below.height))
            goes_on = -FLUSH * low < edge - below.left < inset * low and high < LARGER * low
            is_text = len(text) >= FLOWING and sum(len(row) == 1 for row in text) >= MOSTLY * len(text)
            if not (goes_on and is_text and is_out_of_step(box, text)):
                continue
            if self.is_prose(text, prose) and not self.is_prose(box, prose):
                return True
        return False

    def has_table_above(self, rows: list[Row], place: _Place, places: list[_Place]) -> bool:
        """Whether a place begins with ruled rows of a table over both columns, and another one begins below them."""
        here = rows[place.start : place.end]
        left, right = split(here, place.x)
        edges = min(row[-1].right for row in left), max(row[0].left for row in right)
        top, low = here[0][0].y, here[-1][0].y
        ruled = [r.y for r in self.rules if r.left < edges[0] and r.right > edges[1] and top < r.y < low]
        if len(ruled) < 2 or max(b - a for a, b in pairwise(ruled)) > RULED * here[0][0].height:
            return False
        return any(p.x == place.x and p.end == place.end and rows[p.start][0].y > ruled[-1] for p in places)

    def blocks(self, rows: list[Row], place: _Place) -> _Columns | None:
        """The blocks of a place in reading order; None if there are none, or if a segment crosses the gutter."""
        if is_crossed(rows[place.start : place.end], place.x) or not _is_bounded(rows, place):
            return None
        start, _, x = place
        headed = start > 0 and all(split([rows[start - 1]], x)) and not is_crossed([rows[start - 1]], x)
        same_edges = _with_same_edges(rows, place)
        here = rows[same_edges.start : same_edges.end]
        found = addresses(here, *split(here, x), self.rules)
        if found:
            return _Columns(same_edges, found)
        for wider in dict.fromkeys((_Place(start - headed, end_of_longer(rows, *place), x), place)):
            here = rows[wider.start : wider.end]
            sides = split(here, x)
            found = labelled_blocks(here, *sides)
            if not found and wider != same_edges:
                found = addresses(here, *sides, self.rules)
            if found:
                return _Columns(wider, found)
        return None

    def columns(self, rows: list[Row], prose: Prose = NEAR, share: float = 0.0) -> _Columns | None:
        """The largest group of rows that form columns, at least `share` of all; with share > 0, only running text."""
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
            if verdict is _Verdict.PROSE and self.has_table_above(rows, place, places):
                continue
            if verdict is _Verdict.TABLE:
                tables.append(place)
            elif verdict is not _Verdict.NOTHING:
                if not share:
                    place = self.whole(rows, place, [p for p in places if p.x == place.x], prose)
                return _Columns(place, list(split(rows[place.start : place.end], place.x)))
        return None

    def whole(self, rows: list[Row], place: _Place, others: list[_Place], prose: Prose) -> _Place:
        """Extend columns by the rows above and below that have the same gutter, and by the footnotes below those."""
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
        """As the function `in_order`. is_column: the rows of one side of a gutter; text is divided as a whole."""
        share = MOSTLY if is_column and is_running_text(rows, *NEAR) else 0.0
        columns = self.columns(rows, share=share) if len(rows) > 1 else None
        if columns is None:
            return rows
        before, after = rows[: columns.place.start], rows[columns.place.end :]
        within = [self.in_order(part, is_column=True) for part in columns.parts]
        return [row for part in (self.in_order(before), *within, self.in_order(after)) for row in part]


def _starts(rows: list[Row]) -> list[float]:
    """For each x at which two or more segments begin, except the leftmost, an x slightly to the left of it."""
    return [group[0].left - 0.3 * group[0].height for group in with_one_edge(rows)[1:] if len(group) > 1]


def _apart(last: Row, this: Row, loose: float) -> bool:
    """Whether the space between two rows separates two blocks; before larger type, less space is enough."""
    low, high = max(s.height for s in last), max(s.height for s in this)
    loose = min(LOOSE) if high > LARGER * low else loose
    return min(s.y for s in this) - min(s.y for s in last) > loose * max(low, high)


def _breaks(rows: list[Row]) -> list[list[bool]]:
    """Whether a new block begins with each row, for the larger and the smaller limit of LOOSE."""
    return [[True, *(_apart(last, this, loose) for last, this in pairwise(rows))] for loose in LOOSE]


def _blocks(rows: list[Row], breaks: list[list[bool]], reach: float, x: float) -> list[tuple[int, int]]:
    """Runs of rows that do not cross x by `reach` px, as (first, one past the last).

    `breaks`: the breaks of these rows, from `_breaks`.
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
    """The rows without those below both columns: after one side of x ends and a gap, rows that are not running text."""
    both = [i for i, row in enumerate(rows) if all(split([row], x))]
    last = both[-1] if both else len(rows)
    for i in range(last + 1, min(last + 3, len(rows) - LINES + 1)):
        if _apart(rows[i - 1], rows[i], min(LOOSE)) and not is_running_text(rows[i:], *prose):
            return rows[:i]
    return rows


def _places(rows: list[Row], prose: Prose) -> list[_Place]:
    """Places that may have columns: the longest first, and among equally long ones the leftmost gutter first."""
    found: dict[_Place, None] = {}
    starts = _starts(rows)
    if not starts:
        return []
    breaks, reach = _breaks(rows), REACH * middle(s.height for row in rows for s in row)
    for x in starts:
        for start, end in _blocks(rows, breaks, reach, x):
            end = start + len(_above_what_follows(rows[start:end], x, prose))
            start += begins_with_row_above(rows[start:end])
            left, right = split(rows[start:end], x)
            if not left or not right:
                continue
            later = max(left[0][0], right[0][0], key=lambda s: s.y)
            both = next(i for i in range(start, end) if later in rows[i])
            for first in sorted({start, min(start + 1, both), both}):  # there may be a heading above the columns
                if first > start or not _is_heading(rows, start):
                    found[_Place(first, end, x)] = None
    return sorted(found, key=lambda place: place.start - place.end)


def _with_same_edges(rows: list[Row], place: _Place) -> _Place:
    """A place with the rows above and below it that begin at the same edges, as on a page of labels; no headings."""
    here = [s for row in rows[place.start : place.end] for s in row]
    edges, height = np.array([s.left for s in here]), middle(s.height for s in here)

    def goes_on(i: int, before: int) -> bool:
        is_near = abs(mean_y(rows[i]) - mean_y(rows[before])) < BETWEEN * height
        begins = all(np.abs(edges - s.left).min() < ALIGNED * height for s in rows[i])
        return is_near and begins and max(s.height for s in rows[i]) < LARGER * height

    start, end, x = place
    while start > 0 and goes_on(start - 1, start) and not is_crossed([rows[start - 1]], x):
        start -= 1
    while end < len(rows) and goes_on(end, end - 1) and not is_crossed([rows[end]], x):
        end += 1
    return _Place(start, end, x)


def _is_heading(rows: list[Row], i: int) -> bool:
    """Whether a row is a single segment in much larger type than the rows below: a heading over all of them."""
    below = [s.height for row in rows[i + 1 : i + 4] for s in row]
    return len(rows[i]) == 1 and bool(below) and rows[i][0].height > HEADING * middle(below)


def _is_sidebar(rows: list[Row], text: list[Row]) -> bool:
    """Whether the rows on one side of a gutter are a list next to running text on the other side."""
    text_is_left = text[0][0].left < rows[0][0].left
    is_list = is_list_beside(Stack(rows, not text_is_left), Stack(text, text_is_left))
    return is_list and is_running_text(text, *FAR) and not is_running_text(rows, *FAR)


def _is_bounded(rows: list[Row], place: _Place) -> bool:
    """Whether the rows that cross the gutter above and below it, if any, are further away than the lines of a column.

    A row in larger type may be closer, because a heading may be just above columns.
    """
    start, end, x = place
    y = [mean_y(row) for row in rows[max(0, start - 1) : end + 1]]
    steps = np.diff(y)
    usual = middle(steps) if len(steps) else 0.0
    height = LARGER * middle(s.height for row in rows[start:end] for s in row)
    near = [i for i in (start - 1, end) if 0 <= i < len(rows)]
    crosses = [i for i in near if any(s.left < x < s.right and s.height < height for s in rows[i])]
    return all(steps[0 if i < start else -1] > APART * usual for i in crosses)


def in_order(rows: list[Row], rules: list[Rule] | None = None) -> list[Row]:
    """Put the rows of a page, given from top to bottom, in reading order: columns from left to right.

    `rules`: the horizontal rules on the page.
    """
    return _Search(rules or []).in_order(rows)
