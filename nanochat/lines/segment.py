"""A segment of text: what the line detector finds, a curve through the middle of the letters and a type height."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nanochat.lines.boxes import Box

FEET = 0.25  # distance in type heights of the feet of letters from the middle of the small ones
ABOVE, BELOW = 0.52, 0.48  # share of the type height above and below the middle of the small letters


def text_box(middles: np.ndarray, height: float) -> Box:
    """The box in px around type of this height, ascenders to descenders, whose middle is the curve (N, 2) x, y."""
    x, y = middles.T
    return (
        max(0, round(x[0])), max(0, round(y.min() - ABOVE * height)),
        round(x[-1]) + 1, round(y.max() + BELOW * height) + 1,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment: continuous text on one line."""

    points: np.ndarray
    """(N, 2) float, x and y in px of the image, from left to right: the middle of the small letters"""
    height: float
    """type height in px, ascenders to descenders"""
    is_initial: bool = False
    """whether it is a drop cap whose word continues in the next segment"""

    @cached_property
    def curve(self) -> np.ndarray:
        """Coefficients of y as a polynomial of x minus the middle of its range, highest power first."""
        x, y = self.points.T
        degree = int(np.interp(self.length / self.height, (2, 4, 10, 24), (0, 1, 2, 3)))
        return np.polyfit(x - (x[0] + x[-1]) / 2, y, min(degree, len(x) - 1))

    def y_at(self, x: np.ndarray) -> np.ndarray:
        """y of the middle of the small letters at these x, in px."""
        return np.polyval(self.curve, x - (self.points[0, 0] + self.points[-1, 0]) / 2)

    @cached_property
    def ends(self) -> np.ndarray:
        """(2, 2): x and y of its left and right end in px."""
        x = self.points[[0, -1], 0]
        return np.stack([x, self.y_at(x)], 1)

    @property
    def length(self) -> float:
        """Distance between its ends in px."""
        return float(self.points[-1, 0] - self.points[0, 0])

    @property
    def angle(self) -> float:
        """Angle in radians; positive if it falls from left to right."""
        return float(np.arctan2(self.ends[1, 1] - self.ends[0, 1], max(self.length, 1e-6)))

    @cached_property
    def box(self) -> Box:
        """Bounding box (left, top, right, bottom) in px of the image, from ascenders to descenders."""
        x = self.points[:, 0]
        return text_box(np.stack([x, self.y_at(x)], 1), self.height)
