"""In which order the rows of a page are read: one after the other, but where text runs in columns, column by column.

Columns are found by what reading shows of them: beside each other, over several rows that no line crosses, stand
stretches that begin at one place and whose lines are nearly all full, or were broken because the next word had no room.
A table's cells are not, so its rows stay whole.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from nanochat.lines.finder import Segment
from nanochat.lines.gutters import ALIGNED, REACH

Prose = tuple[float, float]  # share of a column's width that its lines fill, and its least width in type heights
NEAR, FAR = (0.6, 6.0), (0.7, 10.0)  # of columns whose gutter is narrow, and of others: a table's are wider
GUTTER = 2.5  # type heights: a narrow one
MOSTLY = 0.75  # of a column's lines that fill it, of those that begin where it does or are indented, of rows
ENOUGH = 0.6  # of a column's lines, those that end a paragraph counted with the others, that fill it
FLUSH = 0.55  # of a column's lines that begin where it does
INDENT = 3.0  # type heights at most
WHOLE = 0.8  # of a column's lines that are not broken
LINES = 3  # of a column at least
BALANCE = 0.25  # rows of the shorter of two columns over those of the longer
MOST_PARTS = 500  # of a page that are looked at: twice what any page of text takes
ALLEY = 0.4  # type heights: free this wide in line after line, a place is no space between words
WORD_SPACE = 0.3  # type heights between two words
PARAGRAPH = 1.3  # times the distance between lines: more begins a paragraph
LOOSE = 2.8, 1.6  # type heights from one row to the next: more begins something else; the second where type grows
LARGER = 1.2  # times the type of the row before


@dataclass(frozen=True, eq=False)
class Placed:
    """A segment on the level page, in px."""

    segment: Segment
    left: float
    right: float
    y: float
    """of the middle of its small letters, halfway along"""
    word_widths: tuple[float, ...] = ()
    """from left to right"""

    @property
    def height(self) -> float:
        """Of its type."""
        return self.segment.height

    @property
    def width(self) -> float:
        """From its left to its right end."""
        return self.right - self.left


Row = list[Placed]  # what stands at one height, from left to right
Known = dict[tuple[Prose, frozenset[Placed]], bool]  # whether it is prose


def _alley(rows: list[Row], left: float, right: float) -> float:
    """Width of the widest part between left and right in which no row has text."""
    free, widest = left, 0.0
    for s in sorted((s for row in rows for s in row if s.right > left), key=lambda s: s.left):
        if s.left >= right:
            break
        widest, free = max(widest, s.left - free), max(free, s.right)
    return max(widest, right - free)


def _unbroken(rows: list[Row]) -> Row:
    """Each row as one stretch, without those that are broken where the rows around them are too."""
    found: Row = []
    for i, row in enumerate(rows):
        around = rows[max(0, i - 2) : i] + rows[i + 1 : i + 3]
        if all(_alley(around, a.right, b.left) <= ALLEY * b.height for a, b in pairwise(row)):
            longest = max(row, key=lambda s: s.width)
            words = tuple(width for s in row for width in s.word_widths)
            found.append(replace(longest, left=row[0].left, right=row[-1].right, word_widths=words))
    return found


def _is_running_text(rows: list[Row], filled: float, least: float) -> bool:
    """Whether rows are a column of running text: few are broken, and most reach about as far as the longest."""
    lines = _unbroken(rows)
    if len(lines) < max(LINES, WHOLE * len(rows)):
        return False
    height = float(np.median([s.height for s in lines]))
    lefts = np.array([s.left for s in lines])
    edge = float(lefts.min())
    width = max(s.right for s in lines) - edge
    pitch = float(np.median([b.y - a.y for a, b in pairwise(lines)]))
    if width < least * height or pitch > min(LOOSE) * height:
        return False
    inside = (lefts - np.percentile(lefts, 25)) / height
    flush, indented = np.abs(inside) < ALIGNED, (inside > 0) & (inside < INDENT)
    if flush.mean() < FLUSH or (flush | indented).mean() < MOSTLY:
        return False
    words = np.mean([len(s.word_widths) > 1 for s in lines]) >= ENOUGH  # a table's cells are often single ones
    full = [  # a paragraph's last line may be short, and where ends are ragged the next line's first word is long
        a.right - edge >= filled * width
        or (words and a.right + WORD_SPACE * height + sum(b.word_widths[:1]) > edge + width)
        for a, b in pairwise(lines)
        if b.left < edge + ALIGNED * height and b.y - a.y < PARAGRAPH * pitch
    ]
    return bool(sum(full) >= max(MOSTLY * len(full), ENOUGH * (len(lines) - 1)))


def _is_prose(rows: list[Row], prose: Prose, known: Known) -> bool:
    """Whether rows are one column of running text, or columns of it from the first row to the last or nearly so."""
    text = prose, frozenset(s for row in rows for s in row)
    if text not in known:
        if len(known) >= MOST_PARTS:
            return False
        known[text] = _is_running_text(rows, *prose) or _columns(rows, known, prose, MOSTLY) is not None
    return known[text]


def _split(rows: list[Row], x: float) -> tuple[list[Row], list[Row]]:
    """What stands left and right of x."""
    sides = (
        [[s for s in row if s.left + s.right < 2 * x] for row in rows],
        [[s for s in row if s.left + s.right >= 2 * x] for row in rows],
    )
    return [row for row in sides[0] if row], [row for row in sides[1] if row]


def _are_columns(left: list[Row], right: list[Row], prose: Prose, known: Known) -> bool:
    """Whether what stands left and right of a gutter is prose, and neither much shorter than the other."""
    low, high = sorted((len(left), len(right)))
    if low < BALANCE * high:
        return False
    gutter = min(row[0].left for row in right) - max(row[-1].right for row in left)
    prose = max(prose, NEAR if gutter < GUTTER * right[0][0].height else FAR)
    return _is_prose(left, prose, known) and _is_prose(right, prose, known)


def _starts(rows: list[Row]) -> list[float]:
    """A little left of where segments begin, two or more at one place, but for the leftmost."""
    groups: list[list[Placed]] = []
    for s in sorted((s for row in rows for s in row), key=lambda s: (s.left, s.height)):
        if groups and s.left - groups[-1][0].left < ALIGNED * s.height:
            groups[-1].append(s)
        else:
            groups.append([s])
    return [group[0].left - 0.3 * group[0].height for group in groups[1:] if len(group) > 1]


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
    both = [i for i, row in enumerate(rows) if all(_split([row], x))]
    last = both[-1] if both else len(rows)
    for i in range(last + 1, min(last + 3, len(rows) - LINES + 1)):
        if _apart(rows[i - 1], rows[i], min(LOOSE)) and not _is_running_text(rows[i:], *prose):
            return rows[:i]
    return rows


def _columns(rows: list[Row], known: Known, prose: Prose = NEAR, share: float = 0.0) -> tuple[int, int, float] | None:
    """The most rows, at least this share of them, that stand in columns: first, one past the last, an x between two."""
    best: tuple[int, int, float] | None = None
    least = share * len(rows)
    starts = _starts(rows)
    if not starts:
        return None
    breaks, reach = _breaks(rows), REACH * float(np.median([s.height for row in rows for s in row]))
    for x in starts:
        for start, end in _blocks(rows, breaks, reach, x):
            if end - start < least:
                continue
            end = start + len(_above_what_follows(rows[start:end], x, prose))
            left, right = _split(rows[start:end], x)
            if not left or not right:
                continue
            later = max(left[0][0], right[0][0], key=lambda s: s.y)
            both = next(i for i in range(start, end) if later in rows[i])
            for first in sorted({start, min(start + 1, both), both}):  # above the columns a heading may stand
                if end - first < least:
                    break
                if _are_columns(*_split(rows[first:end], x), prose, known):
                    best, least = (first, end, x), end - first + 1
                    break
    return best


def in_order(rows: list[Row]) -> list[Row]:
    """Rows of a page, from top to bottom, as they are read: columns of text from the left, in parts where need be."""
    columns = _columns(rows, {}) if len(rows) > 1 else None
    if columns is None:
        return rows
    start, end, x = columns
    parts = rows[:start], *_split(rows[start:end], x), rows[end:]
    return [row for part in parts for row in in_order(part)]
