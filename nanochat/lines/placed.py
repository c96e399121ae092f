"""A stretch of text where it would stand if its page were level and flat, and what stands at one height."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nanochat.lines.colons import has_label
from nanochat.lines.finder import Segment
from nanochat.lines.gutters import ALIGNED, Ink


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
    ink: Ink | None = None
    """of the page"""

    @cached_property
    def has_label(self) -> bool:
        """Whether one of its words ends in a colon. Looked for only when asked: few pages need it."""
        return self.ink is not None and has_label(self.ink, self.segment)

    @property
    def height(self) -> float:
        """Of its type."""
        return self.segment.height

    @property
    def width(self) -> float:
        """From its left to its right end."""
        return self.right - self.left


Row = list[Placed]
"""what stands at one height, from left to right"""


def mean_y(row: Row) -> float:
    """The y of a row: the mean of what stands in it. Most rows are one stretch, for which `np.mean` takes long."""
    return float(row[0].y if len(row) == 1 else np.mean([s.y for s in row]))


def with_one_edge(rows: list[Row]) -> list[list[Placed]]:
    """Stretches in groups that begin at one place, from left to right."""
    groups: list[list[Placed]] = []
    for s in sorted((s for row in rows for s in row), key=lambda s: (s.left, s.height)):
        if groups and s.left - groups[-1][0].left < ALIGNED * s.height:
            groups[-1].append(s)
        else:
            groups.append([s])
    return groups
