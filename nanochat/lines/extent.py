"""How far columns reach: what goes on below the end of one of them, footnotes, and a row above that is none of theirs.

Rows start to end (one past the last) stand in columns, a gutter at x between two of them.
"""

from itertools import pairwise

import numpy as np

from nanochat.lines.gutters import ALIGNED
from nanochat.lines.placed import Placed, Row
from nanochat.lines.prose import LINES
from nanochat.lines.quantiles import middle

# In heights of the type, unless something else is named.
CROSSED = 0.3  # how far a stretch may reach across a gutter
GOES_ON = 4.5  # from one row to the next of a right column whose neighbour has ended
NO_WIDER = 1.1  # times the widest gap in columns: a narrower one does not end them
FOOTNOTE = 0.94  # times the type of the columns: that of their footnotes
INDENT = 1.5  # by which a footnote may begin further right than a line of its column
TURNOVER = 3.0  # and a line of a column than its edge


def split(rows: list[Row], x: float) -> tuple[list[Row], list[Row]]:
    """What stands left and right of x."""
    sides = (
        [[s for s in row if s.left + s.right < 2 * x] for row in rows],
        [[s for s in row if s.left + s.right >= 2 * x] for row in rows],
    )
    return [row for row in sides[0] if row], [row for row in sides[1] if row]


def is_crossed(rows: list[Row], x: float) -> bool:
    """Whether a stretch lies across x, even by little."""
    return any(s.left < x - CROSSED * s.height and s.right > x + CROSSED * s.height for row in rows for s in row)


def begins_with_row_above(rows: list[Row]) -> bool:
    """Whether the first row's pieces stand over the columns below but not in them, as those of a newspaper's dateline.

    A piece stands in a column if it begins at its edge, perhaps indented, or stands in its middle, or goes on after a
    piece at the edge, as in justified lines with wide spaces.
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
    return not all(any(_stands_in(s, rows[0], left, right) for left, right in edges) for s in rows[0])


def _stands_in(s: Placed, row: Row, left: float, right: float) -> bool:
    """Whether a piece of a row begins at the left edge of a column from left to right, goes on there, or is centred."""

    def at_edge(piece: Placed) -> bool:
        return abs(piece.left - left) < ALIGNED * piece.height

    indented, goes_on = 0 < s.left - left < TURNOVER * s.height, s.left > left and any(at_edge(piece) for piece in row)
    in_the_middle = abs(s.left + s.right - left - right) < 2 * s.height
    return at_edge(s) or (s.right < right + s.height and (indented or goes_on or in_the_middle))


def end_of_longer(rows: list[Row], start: int, end: int, x: float) -> int:
    """One past the last row of the column that goes on where the other has ended.

    There may be no more room before a line than elsewhere in the columns: what comes later follows both. Only where the
    right column goes on anyway, there may be more.
    """
    sides = split(rows[start:end], x)
    if not all(sides):
        return end
    edges = [middle(row[0].left for row in side) for side in sides]
    height = middle(row[0].height for side in sides for row in side)
    widest = NO_WIDER * max((b[0].y - a[0].y for side in sides for a, b in pairwise(side)), default=0.0)
    last = [side[-1] for side in sides]
    right_alone = last[1][0].y > last[0][0].y + height / 2
    for i in range(end, len(rows)):
        left, right = split([rows[i]], x)
        number = 0 if left else 1
        loose = max(widest, GOES_ON * height) if number and right_alone else widest
        begins = -height < rows[i][0].left - edges[number] < TURNOVER * height
        if (left and right) or is_crossed([rows[i]], x) or not begins or rows[i][0].y - last[number][0].y > loose:
            return i
        last[number], right_alone = rows[i], bool(right)
    return len(rows)


def end_of_footnotes(rows: list[Row], start: int, end: int, x: float) -> int:
    """One past the last row of smaller type below columns that begins where one of their lines does, and ends in it."""
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
