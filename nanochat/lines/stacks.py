"""Whether short lines left and right of a gutter are two stacks, each read to its end, or cells in the rows of a table.

Running text is told from a table by its full lines (`prose`). Stacks of short lines (a sidebar, an index, labels above
their values, addresses) are told from it by how the two sides go together: the rows of a table begin at one height on
both sides, and what parts them goes through both.
"""

import numpy as np

from nanochat.lines.placed import Placed, Row
from nanochat.lines.rules import Rule

# Distances in heights of the type, unless something else is named.
LINES = 3  # of a stack at least
INDENT = 3.0  # at most
FLUSH = 0.35  # how far from its edge a line of a stack may begin
LEVEL = 0.25  # how far lines of one row may differ in height
OUT_OF_STEP = 0.25  # of the lines of the shorter side: not level with one of the other
BREAK = 1.22  # times the distance between lines: more is a break
TIER = 1.25  # times the usual distance from row to row: more begins another tier
SHARED = 0.7  # of the breaks of a side: so many go through both sides of a table
LABELS = 0.25  # of the lines left of their values, those known to end in a colon: not each colon is seen in a scan
OFF = 0.25  # how far at least lines stand that belong to no row of the other side
TURNOVERS = 0.06  # of a list's lines, those that are indented
RAGGED = 0.4  # how far at least the ends of lines differ that are no column of amounts
PAIRED = 0.85  # of lines, those that are a label or its value
SMALLER = 0.94  # times the type of a value: that of the label above it
MOST = 0.6  # of the lines of a table, those of its longest row at most
FEW = 0.12  # of rows, those that may cross the paper between columns
CLOSE = 1.7  # from line to line of an address
LONGEST = 8  # lines of an address
THIN = 2.5  # what is no wider is no column
NARROW = 3.5  # lines of an address are wider


def _nearest_column(rows: list[Row], is_left: bool) -> list[Placed]:
    """What begins each row of the column next to a gutter, which is on its right (is_left) or left.

    A column is where so much stands one above the other without a gap; a few lines across it do not count.
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
        usual = float(np.percentile([s.left for s in lines], 10, method="higher"))
        unit = float(np.median([s.height for s in lines]))
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
        """Distance between lines that belong together, in px."""
        steps = self.steps[self.steps > 0.5 * self.unit]
        return float(np.percentile(steps, 15)) if len(steps) else np.inf

    @property
    def is_flush(self) -> bool:
        """Whether nearly all lines begin at its edge or are indented."""
        return bool(
            self.flush.mean() >= 0.2
            and self.flush.sum() > 1
            and self.flush.sum() + len(self.indents) >= 0.85 * len(self.lines)
        )

    @property
    def raggedness(self) -> float:
        """How far its lines differ in where they end."""
        return float(np.std([s.right for s in self.lines])) / self.unit

    @property
    def width(self) -> float:
        """Of most lines."""
        return float(np.median([s.width for s in self.lines])) / self.unit


def _union(a: Stack, b: Stack) -> np.ndarray:
    """Heights at which a line is on either side, each once."""
    y = np.sort(np.concatenate([[s.y for row in side.rows for s in row] for side in (a, b)]))
    return y[np.concatenate([[True], np.diff(y) > 0.3 * a.unit])]


def _common_range(a: Stack, b: Stack) -> tuple[float, float]:
    half = 0.5 * a.unit
    return max(a.y[0], b.y[0]) - half, min(a.y[-1], b.y[-1]) + half


def _are_labels(a: Stack, b: Stack) -> bool:
    """Whether the left lines are labels that end in a colon, of values on the right that have none."""
    left, right = (float(np.mean([line.has_label for line in side.lines])) for side in (a, b))
    return left >= LABELS and left * len(a.lines) >= LINES and right < left / 2


def _are_labelled_above(a: Stack, b: Stack) -> bool:
    """Whether most lines on both sides are pairs of a label in small type and a value below it."""
    for side in (a, b):
        lines, paired, i = side.lines, 0, 0
        while i + 1 < len(lines):
            is_pair = lines[i].height < SMALLER * lines[i + 1].height
            paired += 2 * is_pair
            i += 1 + is_pair
        if paired < max(2 * LINES, PAIRED * len(lines)):
            return False
    return True


def tiers(rows: list[Row]) -> list[tuple[int, int]]:
    """Rows parted where more than the usual room is between them: first, one past the last; a heading is no tier."""
    y = np.array([float(np.mean([s.y for s in row])) for row in rows])
    steps = np.diff(y)
    usual = float(np.percentile(steps, 75))
    cuts = [0, *(np.flatnonzero(steps > TIER * usual) + 1).tolist(), len(rows)]
    found: list[tuple[int, int]] = []
    start = 0
    for end in cuts[1:]:
        if end - start > 1 or end == len(rows):
            found.append((start, end))
            start = end
    return found


def _is_address(side: Stack) -> bool:
    """Whether lines are a few, set close, that begin at one place, most with several words and few labels."""
    several = [len(s.word_widths) > 1 for s in side.lines]
    return bool(
        LINES <= len(side.lines) <= LONGEST
        and side.flush.all()
        and np.max(side.steps) < CLOSE * 1.3 * side.unit
        and side.tight < CLOSE * side.unit
        and np.mean(several) >= 0.5
        and np.mean([s.has_label for s in side.lines]) < LABELS
        and sum(several[:3]) >= 2
        and side.width > NARROW
        and side.raggedness >= RAGGED
    )


def _are_addresses(rows: list[Row], left: list[Row], right: list[Row]) -> bool:
    """Whether both sides are, in each tier, blocks as addresses are, that begin at one height."""
    for start, end in tiers(rows):
        inside = {s for row in rows[start:end] for s in row}
        sides = [[row for row in side if row[0] in inside] for side in (left, right)]
        if min(map(len, sides)) < LINES and not (0 in map(len, sides) and start > 0):
            return False
        blocks = [Stack(side, is_left) for side, is_left in zip(sides, (True, False)) if side]
        if abs(blocks[0].y[0] - blocks[-1].y[0]) > LEVEL * blocks[0].unit or not all(map(_is_address, blocks)):
            return False
    return True


def _are_turnovers(a: Stack, b: Stack) -> bool:
    """Whether both sides are lists whose lines are indented alike where they go on; a table's cells are not."""
    for side in (a, b):
        few = len(side.indents) < max(1.0, TURNOVERS * len(side.lines))
        words = float(np.mean([len(s.word_widths) > 1 for s in side.lines]))
        if few or not side.is_flush or side.raggedness < RAGGED or words < 0.5:
            return False
    indents = np.concatenate([a.indents, b.indents])
    inset = float(np.percentile(indents, 25))
    once_or_twice = np.minimum(np.abs(indents - inset), np.abs(indents - 2 * inset)) < FLUSH
    return len(indents) >= LINES and bool(once_or_twice.mean() >= 0.85)


def _ruled(a: Stack, b: Stack, rules: list[Rule]) -> list[float]:
    """The heights of rules that go through both sides, between their lines."""
    top, low = _common_range(a, b)
    edges = float(np.median([s.right for s in a.lines])), float(np.median([s.left for s in b.lines]))
    return [rule.y for rule in rules if rule.left < edges[0] and rule.right > edges[1] and top < rule.y < low]


def has_rows(left: list[Row], right: list[Row], rules: list[Rule]) -> bool:
    """Whether rules, or breaks in both sides at one height, part the rows of a table whose cells have several lines."""
    a, b = Stack(left, True), Stack(right, False)
    top, low = _common_range(a, b)
    y = _union(a, b)
    ruled = _ruled(a, b, rules)
    if _are_cells(a, b, np.searchsorted(y, ruled), y, by_rules=True):
        return True
    tight = min(a.tight, b.tight)
    breaks = np.flatnonzero((np.diff(y) > BREAK * tight) & (y[1:] > top) & (y[:-1] < low)) + 1
    of_sides = [int(((side.steps > BREAK * tight) & (side.y[1:] > top) & (side.y[:-1] < low)).sum()) for side in (a, b)]
    return len(breaks) >= SHARED * min(of_sides) and _are_cells(a, b, breaks, y)


def _are_cells(a: Stack, b: Stack, breaks: np.ndarray, y: np.ndarray, by_rules: bool = False) -> bool:
    """Whether the lines of two sides between breaks are the cells of a table's rows.

    Breaks are numbers of `y`, heights of lines. Cells begin at one height or have their middles there, their lines
    differ in number, and there are at least three rows, none of which has most of the lines.
    """
    parts = [part for part in np.split(y, np.unique(breaks)) if len(part)]
    off, uneven = [], []
    for part in parts:
        one, other = (side.y[(side.y >= part[0] - 1) & (side.y <= part[-1] + 1)] for side in (a, b))
        if len(one) and len(other):
            off.append((abs(one[0] - other[0]) / a.unit, abs(one.mean() - other.mean()) / a.unit))
            uneven.append(len(one) != len(other))
    if len(off) < (2 if by_rules else 3) or max(map(len, parts)) > MOST * len(y) or np.mean(uneven) < 0.3:
        return False
    tops, middles = ((np.array(off) < LEVEL).mean(0) >= 0.8).tolist()
    return middles or (tops and (by_rules or not _are_out_of_step(a, b)))


def _are_out_of_step(a: Stack, b: Stack) -> bool:
    """Whether the lines of the shorter side stand at other heights than those of the other."""
    if not (a.is_flush and b.is_flush):
        return False
    top, low = _common_range(a, b)
    few, many = sorted((a, b), key=lambda side: len(side.lines))
    inner = few.y[(few.y > top) & (few.y < low)]
    if len(inner) <= LINES:
        return False
    off = np.abs(inner[:, None] - many.y[None]).min(1)
    out = off > OFF * few.unit
    return bool(out.sum() > 1 and out.mean() >= OUT_OF_STEP)


def in_tiers(rows: list[Row], left: list[Row], right: list[Row]) -> bool:
    """Whether both sides are labels with their values below them, or addresses: read to the end of a tier."""
    if min(len(left), len(right)) < LINES:
        return False
    a, b = Stack(left, True), Stack(right, False)
    return _are_labelled_above(a, b) or _are_addresses(rows, left, right)


def are_stacks(left: list[Row], right: list[Row], rules: list[Rule]) -> bool:
    """Whether both sides are stacks that are read to their ends; rules through both are those of a table."""
    if min(len(left), len(right)) < LINES:
        return False
    a, b = Stack(left, True), Stack(right, False)
    if min(len(a.lines), len(b.lines)) < LINES or min(a.width, b.width) < THIN:
        return False
    if _are_labels(a, b) or _ruled(a, b, rules):
        return False
    return _are_turnovers(a, b) or _are_out_of_step(a, b)
