"""The vertical extent of columns: the longer column, footnotes, and a row above that does not belong to them.

Rows `start` to `end` (one past the last) form columns, with a gutter at x between two of them.
"""

from itertools import pairwise

import numpy as np

from nanochat.lines.gutters import ALIGNED
from nanochat.lines.placed import Placed, Row
from nanochat.lines.prose import LINES
from nanochat.lines.quantiles import middle

# Lengths are multiples of the type height, unless stated otherwise.
CROSSED = 0.3  # how far a segment may extend across a gutter
GOES_ON, SEVERAL = 4.5, 3  # largest row distance in a column after the other has ended; rows below it in a left one
NO_WIDER = 1.1  # relative to the widest gap in the columns: a narrower gap does not end them
NARROWER = 0.8  # largest width of a sidebar, relative to the column beside it
FOOTNOTE = 0.94  # largest type size of footnotes, relative to that of the columns
INDENT = 1.5  # largest indent of a footnote from the lines of its column
TURNOVER = 3.0  # largest indent of a line from the edge of its column


def split(rows: list[Row], x: float) -> tuple[list[Row], list[Row]]:
    """Split rows at x. Returns the rows on the left and those on the right."""
    sides = (
        [[s for s in row if s.left + s.right < 2 * x] for row in rows],
        [[s for s in row if s.left + s.right >= 2 * x] for row in rows],
    )
    return [row for row in sides[0] if row], [row for row in sides[1] if row]


def is_crossed(rows: list[Row], x: float) -> bool:
    """Whether a segment crosses x, even slightly."""
    return any(s.left < x - CROSSED * s.height and s.right > x + CROSSED * s.height for row in rows for s in row)


def begins_with_row_above(rows: list[Row]) -> bool:
    """Whether the first row is above the columns but not part of them, such as the dateline of a newspaper.

    A segment belongs to a column if it begins at the column's edge, perhaps indented, is centred in it, or follows a
    segment at the edge, as in justified lines with wide spaces. One segment may span several columns, but not all, like
    the title of an infobox beside text.
    """
    if len(rows[0]) < 2 or len(rows) < 2 * LINES:
        return False
    below, height = [s for row in rows[1:] for s in row], middle(s.height for row in rows for s in row)
    columns: list[list[Placed]] = []
    for s in sorted(below, key=lambda s: s.left):
        if columns and (
            s.left < columns[-1][0].left + TURNOVER * height or s.left < middle(t.right for t in columns[-1])
        ):
            columns[-1].append(s)
        else:
            columns.append([s])
    edges = [(column[0].left, max(s.right for s in column)) for column in columns if len(column) >= LINES]
    n = len(edges)
    edges += [(edges[i][0], edges[j - 1][1]) for i in range(n) for j in range(i + 2, n + 1) if j - i < n]  # several
    return not all(any(_stands_in(s, rows[0], left, right) for left, right in edges) for s in rows[0])


def _stands_in(s: Placed, row: Row, left: float, right: float) -> bool:
    """Whether a segment of a row begins at the left edge of a column, follows one that does, or is centred in it."""

    def at_edge(piece: Placed) -> bool:
        return abs(piece.left - left) < ALIGNED * piece.height

    indented, goes_on = 0 < s.left - left < TURNOVER * s.height, s.left > left and any(at_edge(piece) for piece in row)
    in_the_middle = abs(s.left + s.right - left - right) < 2 * s.height
    return at_edge(s) or (s.right < right + s.height and (indented or goes_on or in_the_middle))


def end_of_longer(rows: list[Row], start: int, end: int, x: float) -> int:
    """One past the last row of the longer column.

    A gap wider than any in the columns ends them: the rows after it belong to neither. A wider gap is allowed only in
    a right column that continues anyway, and in a narrow left one, a sidebar, if it has several rows below that gap.
    """
    sides = split(rows[start:end], x)
    if not all(sides):
        return end
    edges = [middle(row[0].left for row in side) for side in sides]
    height = middle(row[0].height for side in sides for row in side)
    widest = NO_WIDER * max((b[0].y - a[0].y for side in sides for a, b in pairwise(side)), default=0.0)
    widths = [max(row[-1].right for row in side) - edge for side, edge in zip(sides, edges)]
    is_sidebar = widths[0] < NARROWER * widths[1]
    last = [side[-1] for side in sides]
    right_alone = last[1][0].y > last[0][0].y + height / 2
    for i in range(end, len(rows)):
        left, right = split([rows[i]], x)
        number = 0 if left else 1
        wider = right_alone if number else is_sidebar and _are_only_left(rows[i : i + SEVERAL], x)
        loose = max(widest, GOES_ON * height) if wider else widest
        begins = -height < rows[i][0].left - edges[number] < TURNOVER * height
        if (left and right) or is_crossed([rows[i]], x) or not begins or rows[i][0].y - last[number][0].y > loose:
            return i
        last[number], right_alone = rows[i], bool(right)
    return len(rows)


def _are_only_left(rows: list[Row], x: float) -> bool:
    """Whether several rows are all left of x. Two of them may be a heading and the first line of what follows."""
    return len(rows) == SEVERAL and not split(rows, x)[1] and not is_crossed(rows, x)


def end_of_footnotes(rows: list[Row], start: int, end: int, x: float) -> int:
    """One past the last footnote row: smaller type below the columns that begins and ends within one of them."""
    inside = [s for row in rows[start:end] for s in row]
    height, edges = middle(s.height for s in inside), sorted({s.left for s in inside})
    right = max(s.right for s in inside)
    for i in range(end, len(rows)):
        for s in rows[i]:
            indent = min((s.left - edge for edge in edges if edge < s.left + height / 2), default=np.inf)
            if s.height > FOOTNOTE * height or indent > INDENT * height or s.right > right + height:
                return i
        if is_crossed([rows[i]], x):
            return i
    return len(rows)
