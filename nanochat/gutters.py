"""Columns of text that stand so close that the line finder ran two of their lines into one: found, and cut apart.

Where some rows end and begin again at the same place, a gutter may run there. A stretch of text that crosses it is cut
when the picture shows blank paper on its way, right before the place where the other rows begin again.
"""

from itertools import pairwise

import cv2
import numpy as np

from nanochat.line_finder import Segment

# All in heights of the type.
ROWS = 9.0  # how far above and below a beginning counts
ALIGNED = 0.7  # how far apart beginnings of one column may lie
REACH = 1.6  # of what must lie on either side of a gutter
BLANK = 0.65  # least width of blank paper in a gutter
BEFORE = 3.0  # how far left of the right column it is looked for
RULE, BESIDE = 0.3, 0.2  # thickest rule in a gutter, and least width of the blank paper on either side of it

Start = tuple[float, float]  # x and y of where a right-hand neighbour begins


def _columns(grey: np.ndarray, segment: Segment) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x in px of the page from the left to the right end, whether no ink is there, whether ink from top to bottom)."""
    height = segment.height
    (x0, _), (x1, _) = segment.ends
    x = np.arange(np.ceil(x0), np.floor(x1) + 1)
    y = segment.y_at(x)[None] + np.linspace(-0.42, 0.36, 12)[:, None] * height  # (12, W)
    strip = cv2.remap(grey, np.tile(x, (12, 1)).astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    strip = cv2.blur(strip, (max(1, round(height / 8)), 1)).astype(np.float32)
    contrast = np.sort(np.abs(strip - np.median(strip)), 0)
    ink = 0.4 * np.percentile(contrast[-2:].mean(0), 85)
    return x, contrast[-2:].mean(0) < ink, contrast[2] > ink


def _gap_before(
    x: np.ndarray, blank: np.ndarray, full: np.ndarray, height: float, start: float
) -> tuple[float, float] | None:
    """Blank paper, perhaps with a thin rule in it, that ends where x is about `start`: from x to x; or None."""
    here = (x > start - BEFORE * height) & (x < start + 1.5 * ALIGNED * height)
    x, blank, full = x[here], blank[here], full[here]
    gaps: list[list[int]] = []
    for a, b in runs(blank):
        beside = gaps and min(gaps[-1][1] - gaps[-1][0], b - a) >= BESIDE * height  # two l have less between them
        if beside and a - gaps[-1][1] <= RULE * height and full[gaps[-1][1] : a].any():
            gaps[-1][1] = b
        else:
            gaps.append([a, b])
    found = [(x[a], x[b - 1]) for a, b in gaps if x[b - 1] - x[a] >= BLANK * height]
    fitting = [gap for gap in found if abs(gap[1] - start) < ALIGNED * height]
    return min(fitting, key=lambda gap: abs(gap[1] - start), default=None)


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Where flags are set without a break: first, and one past the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]]))).tolist()
    return list(zip(edges[::2], edges[1::2]))


def _cut(segment: Segment, gap: tuple[float, float]) -> list[Segment]:
    """What lies left and right of a gap."""
    x = segment.points[:, 0]
    parts = segment.points[x <= gap[0]], segment.points[x >= gap[1]]
    return [Segment(points, segment.height) for points in parts if len(points) > 1]


def divide(page: np.ndarray, segments: list[Segment], starts: list[Start]) -> list[Segment]:
    """The segments of an RGB page (H, W, 3), those that cross a gutter cut in it.

    `starts`: where segments begin that have a neighbour on their left. Two of them above each other make a gutter.
    """
    if len(starts) < 2:
        return segments
    grey, divided = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY), []
    x, y = np.array(starts).T
    waiting = segments[::-1]
    while waiting:
        segment = waiting.pop()
        height, (left, right) = segment.height, segment.ends
        crossed = (x > left[0] + REACH * height) & (x < right[0] - REACH * height)
        near = np.abs(y[crossed] - segment.y_at(x[crossed])) < ROWS * height
        begun = np.sort(x[crossed][near]).tolist()
        places = [b for a, b in pairwise(begun) if b - a < ALIGNED * height]
        gap = None
        if places:
            columns = _columns(grey, segment)
            found = (_gap_before(*columns, height, start) for start in places)
            gap = next((gap for gap in found if gap is not None), None)
        first, *rest = (_cut(segment, gap) if gap else []) or [segment]
        divided.append(first)
        waiting += rest
    return divided
