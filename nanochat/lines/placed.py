"""Segments of text at their positions on the levelled and flattened page, and rows of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nanochat.lines.colons import has_label
from nanochat.lines.gutters import ALIGNED, Ink
from nanochat.lines.segment import Segment


@dataclass(frozen=True, eq=False)
class Placed:
    """A segment on the levelled page, in px."""

    segment: Segment
    left: float
    right: float
    y: float
    """height of the middle of its small letters, halfway along"""
    word_widths: tuple[float, ...] = ()
    """width of each word, from left to right"""
    ink: Ink | None = None
    """ink of the page"""

    @cached_property
    def has_label(self) -> bool:
        """Whether one of its words ends in a colon. Computed on demand, because few pages need it."""
        return self.ink is not None and has_label(self.ink, self.segment)

    @property
    def height(self) -> float:
        """Type height."""
        return self.segment.height

    @property
    def width(self) -> float:
        """Distance from its left to its right end."""
        return self.right - self.left


Row = list[Placed]
"""segments at the same height, from left to right"""


def mean_y(row: Row) -> float:
    """The mean y of the segments of a row. Most rows have a single segment, for which `np.mean` is slow."""
    return float(row[0].y if len(row) == 1 else np.mean([s.y for s in row]))


def with_one_edge(rows: list[Row]) -> list[list[Placed]]:
    """Group segments that begin at the same x, from left to right."""
    groups: list[list[Placed]] = []
    for s in sorted((s for row in rows for s in row), key=lambda s: (s.left, s.height)):
        if groups and s.left - groups[-1][0].left < ALIGNED * s.height:
            groups[-1].append(s)
        else:
            groups.append([s])
    return groups
