"""Which stretches of text stand on one line: decided on the page turned so that most of its text runs level."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from nanochat.boxes import Box, union
from nanochat.columns import Placed, Row, in_order
from nanochat.gutters import divide
from nanochat.line_finder import LineFinder, Segment, find_segments, weighted_median

SAME_LINE = 0.45  # of the smaller type's height: how far apart the middles of two neighbours on a line may be
SAME_TYPE = 2.2  # times as tall at most
STEADY = 8.0  # type heights: a shorter segment's own slope says little
MOST_REMAINING = 0.045  # radians
SURELY = 1.2  # times as many neighbours at one height: then the page is turned a little more
JOINED = 1.4  # type heights: neighbours on a line that are nearer are shown together


@dataclass(frozen=True, eq=False)
class Line:
    """One line of text: its segments from left to right."""

    segments: tuple[Segment, ...]

    @property
    def box(self) -> Box:
        """The smallest box around it, in px of the page."""
        return union([segment.box for segment in self.segments])


def _place(segments: list[Segment]) -> list[Placed]:
    """The segments on a page turned by their common angle."""
    long = [s for s in segments if s.length >= STEADY * s.height] or segments
    angle = weighted_median([s.angle for s in long], [s.length**2 for s in long])  # long ones know it better
    placed = _turned(segments, angle)
    return _turned(segments, angle + remaining) if (remaining := _remaining_angle(placed)) else placed


def _turned(segments: list[Segment], angle: float) -> list[Placed]:
    """The segments on a page turned back by `angle` radians."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = []
    for segment in segments:
        (x0, y0), (x1, y1) = segment.ends @ turn
        placed.append(Placed(segment, x0, x1, (y0 + y1) / 2))
    return placed


def _remaining_angle(placed: list[Placed]) -> float:
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


def _same_line(a: Placed, b: Placed) -> bool:
    """Whether two segments stand side by side at one height."""
    low, high = sorted((a.height, b.height))
    shared = min(a.right, b.right) - max(a.left, b.left)
    if high > SAME_TYPE * low or shared > 0.5 * min(a.width, b.width):
        return False
    return abs(a.y - b.y) < SAME_LINE * low


def _rows(segments: list[Placed]) -> list[Row]:
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
    return [Line(tuple(_whole([s.segment for s in row]))) for row in in_order(rows)]
