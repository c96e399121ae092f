"""Gaps within lines: spaces between words, and gutters between columns that the line detector merged into one line.

A gap in the image of a line is taken as a gutter if gaps above and below it end at the same x: gaps that are wider than
spaces between words, or gaps before a segment that has a neighbour on its left. Lines are cut at gutters.
"""

from typing import NamedTuple

import cv2
import numpy as np

from nanochat.lines.quantiles import percentiles
from nanochat.lines.segment import Segment

# All lengths are multiples of the type height.
ROWS = 9.0  # largest vertical distance of beginnings that are compared
ALIGNED = 0.7  # largest horizontal distance of beginnings of one column
REACH = 1.6  # least length of text on both sides of a gutter
BLANK = 0.65  # least width of a gutter
SPACE, WIDER = 0.2, 1.5  # least width of a space between words; a gap of this many spaces is wide
RULE, BESIDE = 0.3, 0.2  # thickest rule in a gutter, and least blank width on both sides of it

Start = tuple[float, float]  # x and y at which a segment with a neighbour on its left begins


class _Gap(NamedTuple):
    """A gap in a line, in px of the page."""

    left: float
    right: float
    y: float
    is_wide: bool
    """whether it is wider than the spaces between words of the line"""


_Profile = tuple[np.ndarray, np.ndarray, np.ndarray]


class Ink:
    """The ink along the segments of a page, computed once per segment."""

    def __init__(self, page: np.ndarray) -> None:
        """`page`: RGB uint8 (H, W, 3)."""
        self.grey = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
        self._known: dict[Segment, _Profile] = {}

    def along(self, segment: Segment) -> _Profile:
        """As `_profile`."""
        if segment not in self._known:
            self._known[segment] = _profile(self.grey, segment)
        return self._known[segment]


def strip_along(
    grey: np.ndarray, segment: Segment, x: np.ndarray, heights: np.ndarray, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """Sample a page, uint8 (H, W), along a segment. Returns uint8 (len(heights), len(x)).

    `x`: in px of the page. `heights`: vertical offsets from the middle of the small letters, in type heights. `border`:
    OpenCV's border mode beyond the edge of the page.
    """
    y = segment.y_at(x)[None] + heights[:, None] * segment.height
    left, top = max(0, int(x[0]) - 1), max(0, int(y.min()) - 1)
    near = grey[top : max(top, int(y.max())) + 3, left : int(x[-1]) + 3]  # cv2.remap is limited to 32,766 px
    across = np.tile(x - left, (len(heights), 1)).astype(np.float32)
    return cv2.remap(near, across, (y - top).astype(np.float32), cv2.INTER_LINEAR, borderMode=border)


def _profile(grey: np.ndarray, segment: Segment) -> _Profile:
    """(x in px of the page from left to right; whether the column there is blank; whether it is all ink)."""
    height = segment.height
    (x0, _), (x1, _) = segment.ends
    x = np.arange(np.ceil(x0), np.floor(x1) + 1)
    strip = strip_along(grey, segment, x, np.linspace(-0.42, 0.36, 12))
    strip = cv2.blur(strip, (max(1, round(height / 8)), 1))
    sides = percentiles(strip, (10, 90)).astype(np.uint8)  # (2, W): one is ink and the other is paper, and uniform
    even = sides[int(np.argmin(np.abs(np.diff(sides.astype(int))).sum(1)))]
    paper = cv2.medianBlur(even[None], min(255, 2 * round(2 * height) + 1))[0]  # shadows vary along a line
    contrast = np.sort(np.abs(strip.astype(np.float32) - paper), 0)
    darkest = contrast[-2:].mean(0)
    ink = 0.4 * percentiles(darkest, (85,))
    return x, darkest < ink, contrast[2] > ink


def _gaps(ink: Ink, segment: Segment) -> list[_Gap]:
    """The gaps of a segment, possibly with a thin rule in them, except near its ends; from left to right."""
    height, (left, right) = segment.height, segment.ends
    if segment.length < 2 * REACH * height:
        return []
    x, blank, full = ink.along(segment)
    gaps: list[list[int]] = []
    for a, b in runs(blank):
        beside = gaps and min(gaps[-1][1] - gaps[-1][0], b - a) >= BESIDE * height  # two letters l are closer
        if beside and a - gaps[-1][1] <= RULE * height and full[gaps[-1][1] : a].any():
            gaps[-1][1] = b
        else:
            gaps.append([a, b])
    widths = np.array([x[b - 1] - x[a] for a, b in gaps])
    spaces = widths[widths > SPACE * height]
    space = np.median(spaces) if len(spaces) else 0.0
    return [
        _Gap(x[a], x[b - 1], float(segment.y_at(x[b - 1])), width > WIDER * space)
        for (a, b), width in zip(gaps, widths)
        if width >= BLANK * height and left[0] + REACH * height < x[b - 1] < right[0] - REACH * height
    ]


def word_widths(ink: Ink, segments: list[Segment]) -> list[tuple[float, ...]]:
    """The widths of the words of each segment, from left to right, in px."""
    found: list[tuple[float, ...]] = []
    for segment in segments:
        if segment.length < max(SPACE * segment.height, 2):  # less than this may contain no whole px
            found.append((segment.length,))
            continue
        x, blank, _ = ink.along(segment)
        spaces = [(a, b) for a, b in runs(blank) if b - a > SPACE * segment.height and 0 < a and b < len(x)]
        starts, ends = [0, *(b for _, b in spaces)], [*(a for a, _ in spaces), len(x)]
        found.append(tuple(float(b - a) for a, b in zip(starts, ends)))
    return found


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Runs of set flags, as (first, one past the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]]))).tolist()
    return list(zip(edges[::2], edges[1::2]))


def _cut(segment: Segment, gaps: list[_Gap]) -> list[Segment]:
    """The parts of a segment between gaps, from left to right."""
    x = segment.points[:, 0]
    ends = [-np.inf, *(x for gap in gaps for x in (gap.left, gap.right)), np.inf]
    parts = [segment.points[(x >= a) & (x <= b)] for a, b in zip(ends[::2], ends[1::2])]
    return [Segment(points, segment.height) for points in parts if len(points) > 1]


def divide(ink: Ink, segments: list[Segment], starts: list[Start]) -> list[Segment]:
    """Cut the segments of a page at gutters.

    `starts`: the points at which segments with a neighbour on their left begin. A gap is a gutter if at least two of
    these points, or two other wide gaps, are at the same x above or below it.
    """
    gaps = [_gaps(ink, segment) for segment in segments]
    wide = [(gap.right, gap.y) for its in gaps for gap in its if gap.is_wide]
    begun = np.array([*starts, *wide]).reshape(-1, 2)
    divided: list[Segment] = []
    for segment, its in zip(segments, gaps):
        cuts = []
        for gap in its:
            x, y = (np.abs(begun - np.array([gap.right, gap.y])) / segment.height).T
            if ((x < ALIGNED) & (y > 0.5) & (y < ROWS)).sum() >= 2:
                cuts.append(gap)
        divided += _cut(segment, cuts) if cuts else [segment]
    return divided
