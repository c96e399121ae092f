"""Which stretches of text stand on one line, and in which order the lines of a page are read.

All is decided on the page turned so that most of its text runs level. Where text runs in columns, one column is read
after the other between the lines that cross them; tables and forms are read row by row.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from nanochat.boxes import Box, union
from nanochat.gutters import ALIGNED, REACH, divide
from nanochat.line_finder import LineFinder, Segment, find_segments, weighted_median

SAME_LINE = 0.45  # of the smaller type's height: how far apart the middles of two neighbours on a line may be
SAME_TYPE = 2.2  # times as tall at most
STEADY = 8.0  # type heights: a shorter segment's own slope says little
COLUMN_WIDTH = 6.0  # least width of a column of running text, in type heights
FILLED, MOSTLY = 0.6, 0.75  # of its width that a line fills, and how many of its lines do
GUTTER = 2.5  # type heights between two columns of running text at most: a table's or a form's stand further apart
FULL, FULL_WIDTH, FULL_GUTTER = 0.85, 10.0, 5.0  # between columns that are wide and full, as no table's are, more
PITCH = 1.5  # times the distance between a column's rows so far: likewise
MOST_REMAINING = 0.045  # radians
SURELY = 1.2  # times as many neighbours at one height: then the page is turned a little more
BALANCE = 0.4  # rows of the shorter of two columns over those of the longer
JOINED = 1.4  # type heights: neighbours on a line that are nearer are shown together
LOOSE = 1.6  # type heights from one line to the next: more begins something else


@dataclass(frozen=True, eq=False)
class Line:
    """One line of text: its segments from left to right."""

    segments: tuple[Segment, ...]

    @property
    def box(self) -> Box:
        """The smallest box around it, in px of the page."""
        return union([segment.box for segment in self.segments])


@dataclass(frozen=True, eq=False)
class _Placed:
    """A segment on the level page."""

    segment: Segment
    left: float
    right: float
    y_left: float
    y_right: float

    @property
    def height(self) -> float:
        return self.segment.height

    @property
    def y(self) -> float:
        return (self.y_left + self.y_right) / 2

    @property
    def width(self) -> float:
        return self.right - self.left


Row = list[_Placed]  # from left to right


def _place(segments: list[Segment]) -> list[_Placed]:
    """The segments on a page turned by their common angle."""
    long = [s for s in segments if s.length >= STEADY * s.height] or segments
    angle = weighted_median([s.angle for s in long], [s.length**2 for s in long])  # long ones know it better
    placed = _turned(segments, angle)
    return _turned(segments, angle + remaining) if (remaining := _remaining_angle(placed)) else placed


def _turned(segments: list[Segment], angle: float) -> list[_Placed]:
    """The segments on a page turned back by `angle` radians."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = []
    for segment in segments:
        (x0, y0), (x1, y1) = segment.ends @ turn
        placed.append(_Placed(segment, x0, x1, y0, y1))
    return placed


def _remaining_angle(placed: list[_Placed]) -> float:
    """By how many radians more to turn the page so that segments side by side stand at one height.

    Short segments do not know their slope well enough to say which price, far away, belongs to which article. Their
    places do, all together; a small turn is likelier than a large one, by which each would meet its neighbour's price.
    """
    x, y, width, height = np.array([((s.left + s.right) / 2, s.y, s.width, s.height) for s in placed]).T
    apart = x[None] - x[:, None]
    beside = (apart > (width[None] + width[:, None]) / 2) & (apart > 4 * height[:, None])
    beside &= np.maximum(height[None], height[:, None]) < SAME_TYPE * np.minimum(height[None], height[:, None])
    beside &= np.abs(y[None] - y[:, None]) < MOST_REMAINING * apart + height[None]  # no turn brings others together
    left, right = np.nonzero(beside)
    if not len(left):
        return 0.0
    slopes = np.linspace(-MOST_REMAINING, MOST_REMAINING, 41)
    rise = (y[right] - y[left])[None] - slopes[:, None] * apart[left, right][None]  # (41, pairs)
    score = np.exp(-((rise / (0.2 * np.minimum(height[left], height[right]))) ** 2)).sum(1)
    score *= np.exp(-((slopes / MOST_REMAINING) ** 2))
    best = int(score.argmax())
    return float(np.arctan(slopes[best])) if score[best] > SURELY * score[len(slopes) // 2] else 0.0


def _same_line(a: _Placed, b: _Placed) -> bool:
    """Whether two segments stand side by side at one height."""
    low, high = sorted((a.height, b.height))
    shared = min(a.right, b.right) - max(a.left, b.left)
    if high > SAME_TYPE * low or shared > 0.5 * min(a.width, b.width):
        return False
    return abs(a.y - b.y) < SAME_LINE * low


def _rows(segments: list[_Placed]) -> list[Row]:
    """Segments at one height together, from top to bottom; each is compared with its nearest neighbour of a row."""
    rows: list[Row] = []
    for segment in sorted(segments, key=lambda s: s.y):
        near = [
            (min(row, key=lambda s: abs(s.left + s.right - segment.left - segment.right)), row) for row in rows[-8:]
        ]
        fitting = [(abs(other.y - segment.y), row) for other, row in near if _same_line(other, segment)]
        if fitting:
            min(fitting, key=lambda pair: pair[0])[1].append(segment)
        else:
            rows.append([segment])
    rows.sort(key=lambda row: float(np.mean([s.y for s in row])))
    return [sorted(row, key=lambda s: s.left) for row in rows]


def _is_running_text(rows: list[Row], filled: float = FILLED, least: float = COLUMN_WIDTH) -> bool:
    """Whether rows are a column of running text: one stretch in each, and most reach about as far as the longest."""
    lines = [row[0] for row in rows if len(row) == 1]
    if len(lines) < 2 or len(lines) < 0.8 * len(rows):
        return False
    width = max(s.right for s in lines) - min(s.left for s in lines)
    if width < least * float(np.median([s.height for s in lines])):
        return False
    full = [s.width >= filled * width for s in lines[:-1]]  # a paragraph's last line may be short
    return sum(full) >= MOSTLY * len(full)


def _split(rows: list[Row], x: float) -> tuple[list[Row], list[Row]]:
    """What stands left and right of x."""
    sides = (
        [[s for s in row if s.left + s.right < 2 * x] for row in rows],
        [[s for s in row if s.left + s.right >= 2 * x] for row in rows],
    )
    return [row for row in sides[0] if row], [row for row in sides[1] if row]


def _crosses(row: Row, x: float) -> bool:
    return any(s.left < x - REACH * s.height and s.right > x + REACH * s.height for s in row)


def _block(rows: list[Row], x: float) -> int:
    """How many rows, from the first on, follow each other evenly and do not cross x."""
    end = 1
    pitches: list[float] = []
    while end < len(rows) and not _crosses(rows[end], x):
        last, this = rows[end - 1], rows[end]
        pitch = min(s.y for s in this) - min(s.y for s in last)
        most = PITCH * float(np.median(pitches)) if len(pitches) > 1 else np.inf
        if pitch > min(most, LOOSE * max(s.height for s in [*last, *this])):
            break
        pitches.append(pitch)
        end += 1
    return end


def _are_columns(left: list[Row], right: list[Row], height: float) -> bool:
    """Whether what stands left and right of a gutter is running text: near, about as long, the right side aligned."""
    low, high = sorted((len(left), len(right)))
    if low < max(1, BALANCE * high):
        return False
    wide = min(s.left for row in right for s in row) - max(s.right for row in left for s in row)
    starts = np.array([row[0].left for row in right])
    aligned = np.abs(starts - np.median(starts)) < ALIGNED * height
    how = (FILLED, COLUMN_WIDTH) if wide < GUTTER * height else (FULL, FULL_WIDTH)
    near = wide < (FULL_GUTTER if low > 2 else GUTTER) * height and aligned.mean() >= MOSTLY
    return near and _is_running_text(left, *how) and _is_running_text(right, *how)


def _columns(rows: list[Row]) -> tuple[int, float] | None:
    """How many of the rows, from the first on, stand in two columns, and the x between them; None where they do not."""
    best: tuple[int, float] | None = None
    for a, b in pairwise(rows[0]):
        x = max((a.right + b.left) / 2, b.left - 0.5 * b.height)
        end = _block(rows, x)
        if (best is None or end > best[0]) and _are_columns(*_split(rows[:end], x), b.height):
            best = end, x
    return best


def _in_order(rows: list[Row]) -> list[Row]:
    """Rows as they are read: where text runs in columns, the left one first."""
    found: list[Row] = []
    while rows:
        columns = _columns(rows)
        if columns is None:
            found.append(rows[0])
            rows = rows[1:]
        else:
            count, x = columns
            left, right = _split(rows[:count], x)
            found += _in_order(left) + _in_order(right)
            rows = rows[count:]
    return found


def _whole(segments: list[Segment]) -> list[Segment]:
    """Neighbours on a line as one segment, when no more than a wide space, or a letter overlooked, is between them."""
    found = segments[:1]
    for segment in segments[1:]:
        last = found[-1]
        low, high = sorted((last.height, segment.height))
        if segment.points[0, 0] - last.points[-1, 0] < JOINED * high and high < 1.5 * low:
            longer = max(last, segment, key=lambda s: s.length)
            found[-1] = Segment(np.concatenate([last.points, segment.points]), longer.height)
        else:
            found.append(segment)
    return found


def find_lines(page: Image.Image, finder: LineFinder | None = None) -> list[Line]:
    """The lines of an RGB page in reading order; none where there is no text. `finder`: by default the project's."""
    segments = find_segments(page, finder)
    if not segments:
        return []
    rows = _rows(_place(segments))
    divided = divide(np.asarray(page), segments, [tuple(s.segment.ends[0]) for row in rows for s in row[1:]])
    if divided != segments:
        rows = _rows(_place(divided))
    return [Line(tuple(_whole([s.segment for s in row]))) for row in _in_order(rows)]
