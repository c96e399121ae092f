"""Tell stacks of short lines from tables: each side of a gutter is read to its end, or row by row across it.

Running text differs from a table in that its lines are full (`prose`). Stacks of short lines (a sidebar, an index) are
recognised by comparing the two sides: the rows of a table begin at the same height on both sides, and the gaps or rules
between them extend through both.
"""

from itertools import pairwise
from math import ceil

import numpy as np

from nanochat.lines.placed import Placed, Row
from nanochat.lines.quantiles import middle, percentiles
from nanochat.lines.rules import Rule

# Lengths are multiples of the type height, unless stated otherwise.
LINES = 3  # least number of lines of a stack
INDENT = 3.0  # largest indent
FLUSH = 0.35  # largest distance of the beginning of a line from the edge of its stack
LEVEL = 0.25  # largest vertical distance of lines in the same row
OUT_OF_STEP = 0.25  # least share of lines of the shorter side that are not level with one of the other
BREAK = 1.22  # larger line distances, relative to the usual one, are breaks
SHARED = 0.7  # least share of breaks that extend through both sides of a table
LABELS = 0.25  # least share of labels in which a colon is detected: in a scan, not every colon is
OFF = 0.25  # least vertical distance of a line from the rows of the other side that it is not part of
TURNOVERS = 0.06  # least share of lines of a list that are indented
WORDS, MOSTLY_WORDS = 0.25, 0.5  # least share of lines of several words in a list; the second without indents
RAGGED = 0.4  # least spread of the ends of lines that are not a column of amounts
MOST = 0.6  # largest share of the lines of a table that are in its longest row
FEW = 0.12  # largest share of rows that may cross the gap between columns
THIN = 2.5  # a column is wider
LONGEST_LABEL = 14.0  # a label is narrower; wider is a line of text, even if it ends in a colon
LETTER = 1.05  # greatest width of a single letter
SHORT = 3.5  # most lines under a letter, or in a list next to text, are wider
MOST_LETTERS = 0.4  # largest share of single letters among the lines of a side
NEAR = 3.0  # largest distance from a line to the rule above or below its table row
ITEMS, NARROWER, AS_CLOSE = 5, 0.6, 1.5  # list next to text: least lines; most width and line distance
BESIDE_FIRST = 0.6  # largest share of its lines next to the first line of a paragraph
MOSTLY_LEVEL, MOSTLY_LABELS = 0.8, 0.6  # least share of level lines, and of labels, of a list with values beside it
IN_TURN, FAR_OFF = 5, 0.35  # least number of alternating lines, and least vertical distance of each


def _nearest_column(rows: list[Row], is_left: bool) -> list[Placed]:
    """The first segment of each row of the column next to a gutter, which is on its right (`is_left`) or left.

    The column ends at the first vertical gap through its rows; a few lines may cross the gap.
    """
    least = int(np.ceil(FEW * len(rows)))
    edges = sorted([(s.left, 1) for row in rows for s in row] + [(s.right, -1) for row in rows for s in row])
    columns: list[list[float]] = []
    covered = 0
    for x, more in edges:
        if covered < least <= covered + more:
            columns.append([x, x])
        covered += more
        if columns and covered < least <= covered - more:
            columns[-1][1] = x
    left, right = columns[-1 if is_left else 0]
    inside = [[s for s in row if s.left < right and s.right > left] for row in rows]
    return [row[0] for row in inside if row]


class Stack:
    """The lines next to a gutter, from top to bottom."""

    def __init__(self, rows: list[Row], is_left: bool) -> None:
        lines = _nearest_column(rows, is_left)
        usual = sorted(s.left for s in lines)[ceil(0.1 * (len(lines) - 1))]
        unit = middle(s.height for s in lines)
        self.rows = rows
        self.lines = lines
        self.unit = unit
        """height of its type in px"""
        self.y = np.array([s.y for s in self.lines])
        self.steps = np.diff(self.y)
        inside = (np.array([s.left for s in self.lines]) - usual) / unit
        self.flush = np.abs(inside) < FLUSH
        self.indents = inside[(inside >= FLUSH) & (inside < INDENT)]

    @property
    def tight(self) -> float:
        """Line distance within a block, in px."""
        steps = self.steps[self.steps > 0.5 * self.unit]
        return float(percentiles(steps, (15,))[0]) if len(steps) else np.inf

    @property
    def is_flush(self) -> bool:
        """Whether nearly all lines begin at the left edge or are indented."""
        return bool(
            self.flush.mean() >= 0.2
            and self.flush.sum() > 1
            and self.flush.sum() + len(self.indents) >= 0.85 * len(self.lines)
        )

    @property
    def raggedness(self) -> float:
        """The spread of the right ends of its lines."""
        return float(np.std([s.right for s in self.lines])) / self.unit

    @property
    def width(self) -> float:
        """Median width of its lines, in type heights."""
        return middle(s.width for s in self.lines) / self.unit


def _union(a: Stack, b: Stack) -> np.ndarray:
    """The heights of the lines of both sides, each height once."""
    y = np.sort(np.concatenate([[s.y for row in side.rows for s in row] for side in (a, b)]))
    return y[np.concatenate([[True], np.diff(y) > 0.3 * a.unit])]


def _common_range(a: Stack, b: Stack) -> tuple[float, float]:
    half = 0.5 * a.unit
    return max(a.y[0], b.y[0]) - half, min(a.y[-1], b.y[-1]) + half


def _are_labels(a: Stack, b: Stack) -> bool:
    """Whether the left lines are labels that end in a colon, and the right ones are values without colons."""
    if a.width > LONGEST_LABEL:
        return False
    left, right = (float(np.mean([line.has_label for line in side.lines])) for side in (a, b))
    return left >= LABELS and left * len(a.lines) >= LINES and right < left / 2


def _are_turnovers(a: Stack, b: Stack) -> bool:
    """Whether both sides are lists with equally indented continuation lines, which the cells of a table do not have.

    One side may have none if most of its lines are several words, and most lines of the other begin at its edge.
    """
    if len(a.indents) + len(b.indents) < TURNOVERS * (len(a.lines) + len(b.lines)):
        return False
    for side in (a, b):
        words = float(np.mean([len(s.word_widths) > 1 for s in side.lines]))
        least = WORDS if len(side.indents) else MOSTLY_WORDS
        if not side.is_flush or side.raggedness < RAGGED or words < least:
            return False
    if any(len(s.indents) > len(s.lines) / 2 and not len(other.indents) for s, other in ((a, b), (b, a))):
        return False
    indents = np.concatenate([a.indents, b.indents])
    inset = float(np.percentile(indents, 25))
    once_or_twice = np.minimum(np.abs(indents - inset), np.abs(indents - 2 * inset)) < FLUSH
    return len(indents) >= LINES and bool(once_or_twice.mean() >= 0.85)


def _is_ruled_row(a: Stack, b: Stack, rules: list[Rule]) -> bool:
    """Whether rules extend through both sides just above and below them, as around one row of a table."""
    edges = a.lines[0].right, b.lines[0].left
    through = [rule.y for rule in rules if rule.left < min(edges) and rule.right > max(edges)]
    top, low, near = min(a.y[0], b.y[0]), max(a.y[-1], b.y[-1]), NEAR * a.unit
    return any(top - near < y < top for y in through) and any(low < y < low + near for y in through)


def ruled_at(a: Stack, b: Stack, rules: list[Rule]) -> list[float]:
    """The heights of rules that extend through both sides, between their lines."""
    top, low = _common_range(a, b)
    edges = middle(s.right for s in a.lines), middle(s.left for s in b.lines)
    return [rule.y for rule in rules if rule.left < edges[0] and rule.right > edges[1] and top < rule.y < low]


def has_rows(left: list[Row], right: list[Row], rules: list[Rule]) -> bool:
    """Whether rules or shared breaks separate the rows of a table whose cells have several lines."""
    a, b = Stack(left, True), Stack(right, False)
    top, low = _common_range(a, b)
    y = _union(a, b)
    ruled = ruled_at(a, b, rules)
    if _are_cells(a, b, np.searchsorted(y, ruled), y, by_rules=True):
        return True
    tight = min(a.tight, b.tight)
    breaks = np.flatnonzero((np.diff(y) > BREAK * tight) & (y[1:] > top) & (y[:-1] < low)) + 1
    of_sides = [int(((side.steps > BREAK * tight) & (side.y[1:] > top) & (side.y[:-1] < low)).sum()) for side in (a, b)]
    return len(breaks) >= SHARED * min(of_sides) and _are_cells(a, b, breaks, y)


def _are_cells(a: Stack, b: Stack, breaks: np.ndarray, y: np.ndarray, by_rules: bool = False) -> bool:
    """Whether the lines of both sides between breaks are the cells of table rows.

    Breaks are indices into `y`, the heights of lines. The cells of a row begin or are centred at the same height and
    have different numbers of lines. There are at least three rows, and none of them has most of the lines.
    """
    rows = 2 if by_rules else 3
    if len(breaks) + 1 < rows:
        return False
    parts = [part for part in np.split(y, np.unique(breaks)) if len(part)]
    off, uneven = [], []
    for part in parts:
        one, other = (side.y[(side.y >= part[0] - 1) & (side.y <= part[-1] + 1)] for side in (a, b))
        if len(one) and len(other):
            off.append((abs(one[0] - other[0]) / a.unit, abs(one.mean() - other.mean()) / a.unit))
            uneven.append(len(one) != len(other))
    if len(off) < rows or max(map(len, parts)) > MOST * len(y) or np.mean(uneven) < 0.3:
        return False
    tops, middles = ((np.array(off) < LEVEL).mean(0) >= 0.8).tolist()
    return middles or (tops and (by_rules or not _are_out_of_step(a, b)))


def _heads(side: Stack) -> np.ndarray:
    """The heights of the single letters that head groups of lines: at the top, or after more than the usual distance.

    Empty if too many lines are single letters, or most other lines are as short.
    """
    single = np.array([s.width <= LETTER * side.unit for s in side.lines])
    heads = single & np.concatenate([[True], side.steps > BREAK * side.tight])
    under = [s.width for s, is_single in zip(side.lines, single) if not is_single]
    if single.mean() > MOST_LETTERS or not under or np.median(under) < SHORT * side.unit:
        heads &= False
    return side.y[heads]


def _are_under_letters(a: Stack, b: Stack) -> bool:
    """Whether the lines are grouped under single letters, at least one of which has none beside it.

    The letters above the columns of a table are level. Those of an index are only sometimes, as at the top.
    """
    one, other = _heads(a), _heads(b)
    level = np.abs(one[:, None] - other[None]) < LEVEL * a.unit
    alone = (~level.any(0)).sum() + (~level.any(1)).sum()
    return len(one) + len(other) > 1 and bool(alone) and a.is_flush and b.is_flush


def is_list_beside(items: Stack, text: Stack) -> bool:
    """Whether a narrower list is next to running text, with similar line distances.

    Most of its lines are not next to the first line of a paragraph, where the cells of a table begin, and it is not a
    list of labels, each with a value at the same height.
    """
    starts = text.y[np.concatenate([[True], text.steps > BREAK * text.tight])]
    inside = items.y[(items.y > text.y[0]) & (items.y < text.y[-1])]
    if len(inside) < ITEMS or not items.is_flush or not SHORT <= items.width <= NARROWER * text.width:
        return False
    level = np.abs(items.y[:, None] - text.y[None]).min(1) < LEVEL * text.unit
    if level.mean() >= MOSTLY_LEVEL and np.mean([s.has_label for s in items.lines]) >= MOSTLY_LABELS:
        return False
    beside_first = np.abs(inside[:, None] - starts[None]).min(1) < 2 * LEVEL * text.unit
    return bool((items.steps < AS_CLOSE * text.tight).mean() >= SHARED and beside_first.mean() <= BESIDE_FIRST)


def is_out_of_step(box: list[Row], text: list[Row]) -> bool:
    """Whether rows beside running text are at other heights than its lines, unlike the rows of a table."""
    lines = np.array([row[0].y for row in text])
    inside = np.array([row[0].y for row in box if lines[0] < row[0].y < lines[-1]])
    if len(inside) <= LINES:
        return False
    off = np.abs(inside[:, None] - lines[None]).min(1)
    return bool((off > OFF * text[0][0].height).mean() >= OUT_OF_STEP)


def _take_turns(a: Stack, b: Stack) -> bool:
    """Whether several consecutive lines alternate between left and right, each far from those of the other side."""
    lines = sorted([(y, 0) for y in a.y] + [(y, 1) for y in b.y])
    longest = run = 1
    for (y, side), (next_y, next_side) in pairwise(lines):
        run = run + 1 if side != next_side and next_y - y > FAR_OFF * a.unit else 1
        longest = max(longest, run)
    return longest >= IN_TURN and a.is_flush and b.is_flush


def _are_out_of_step(a: Stack, b: Stack) -> bool:
    """Whether the lines of the shorter side are not level with those of the other, nor where those would go on.

    A cell of a table may have more lines than the one beside it: they are one or more line distances away from its end.
    """
    if not (a.is_flush and b.is_flush):
        return False
    top, low = _common_range(a, b)
    few, many = sorted((a, b), key=lambda side: len(side.lines))
    inner = few.y[(few.y > top) & (few.y < low)]
    if len(inner) <= LINES:
        return False
    off = np.abs(inner[:, None] - many.y[None]).min(1)
    out = np.abs(off - np.round(off / many.tight) * many.tight) > OFF * few.unit
    return bool(out.sum() > 1 and out.mean() >= OUT_OF_STEP)


def are_stacks(left: list[Row], right: list[Row], rules: list[Rule]) -> bool:
    """Whether both sides are stacks that are read to their ends. Rules through both sides indicate a table."""
    if min(len(left), len(right)) < LINES:
        return False
    a, b = Stack(left, True), Stack(right, False)
    if min(len(a.lines), len(b.lines)) < LINES or min(a.width, b.width) < THIN:
        return False
    if _are_labels(a, b) or ruled_at(a, b, rules) or _is_ruled_row(a, b, rules):
        return False
    return any(sign(a, b) for sign in (_are_turnovers, _are_out_of_step, _are_under_letters, _take_turns))
