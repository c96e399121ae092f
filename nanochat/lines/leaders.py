"""Dot leaders, as in a table of contents: what they lead to belongs to the line, and dots before it are not shown.

The line detector mostly passes over the dots. A single digit behind them is then lost, and dots that stand before a
number within its piece are read as digits.
"""

import cv2
import numpy as np

from nanochat.lines.boxes import Box
from nanochat.lines.finder import Segment

# Heights of the type.
WIDEST = 0.25  # width and height of a dot
GAP = 0.9  # between two dots, at most
DOTS = 4  # of a leader at least
FIRST = 1.5  # from the end of a line to the first dot, at most
WORD = 0.6  # between what a leader leads to and what does not belong to it
BASELINE = 0.24  # below the middle of the small letters
LEVEL = 0.12  # from one dot to the next, up or down
AHEAD = 4.0  # from where a segment begins to where its first letter may be, behind dots
ROOM = 1.5  # above and below the line that is looked at
INK = 40  # grey levels between ink and paper at least
CONTRAST = 0.35  # of the strongest contrast


def without_leader(grey: np.ndarray, segment: Segment) -> Segment:
    """A segment of a page, uint8 (H, W), without the dots of a leader that ends in it."""
    height, (start, y), x = segment.height, segment.ends[0], segment.points[:, 0]
    marks = _Marks(grey, start - DOTS * (GAP + WIDEST) * height, start + AHEAD * height, y, height)
    first = next((b[0] for b in marks.others if b[0] > start and abs(b[3] - y - BASELINE * height) < height / 4), start)
    n, end = 0, first
    for left, _, right, bottom in reversed(marks.dots):
        if right <= end + 1 and abs(bottom - y - BASELINE * height) < 2 * LEVEL * height:
            if end - right > GAP * height:
                break
            n, end = n + 1, left
    kept = x > first - height / 8
    return Segment(segment.points[kept], height) if n >= DOTS and kept.sum() > 1 and not kept.all() else segment


def led_to(grey: np.ndarray, segment: Segment, end: float) -> Segment | None:
    """What a leader after a segment of a page, uint8 (H, W), leads to, before `end` in px; None if there is no leader.

    The dots are followed one by one, for it is not known how the line runs behind the segment.
    """
    height, (right, y) = segment.height, segment.ends[1]
    near = min(end, right + (FIRST + DOTS * (GAP + WIDEST)) * height)
    if near - right < DOTS * WIDEST * height or len(_followed(_Marks(grey, right, near, y, height), right, y)) < DOTS:
        return None
    marks = _Marks(grey, right, end, y, height)
    dots = _followed(marks, right, y)
    (x, baseline), word = dots[-1], list[Box]()
    for left, top, edge, bottom in marks.others:
        is_level = baseline - height < top and abs(bottom - baseline) < 0.25 * height
        if is_level and x < left < (word[-1][2] + WORD * height if word else x + FIRST * height):
            word.append((left, top, edge, bottom))
    if not word:
        return None
    x = np.arange(word[0][0], max(box[2] for box in word) + 1.0)
    return Segment(np.stack([x, np.full_like(x, baseline - BASELINE * height)], 1), height)


class _Marks:
    """The ink right of a segment of a page, from left to right."""

    def __init__(self, grey: np.ndarray, left: float, right: float, y: float, height: float) -> None:
        x0, y0 = max(0, int(left)), max(0, int(y - ROOM * height))
        part = grey[y0 : int(y + ROOM * height) + 1, x0 : int(right)]
        contrast = cv2.absdiff(part, np.full_like(part, int(np.median(part)))) if part.size else part
        ink = (contrast > max(INK, CONTRAST * float(contrast.max(initial=0)))).astype(np.uint8)
        self.height = height
        self.dots, self.others = list[Box](), list[Box]()
        if not ink.size:
            return
        stats = cv2.connectedComponentsWithStats(ink)[2][1:].tolist()
        for a, b, width, tall, _ in sorted(stats):
            is_dot = max(width, tall) <= WIDEST * height + 1 and abs(width - tall) <= 0.1 * height + 1
            (self.dots if is_dot else self.others).append((x0 + a, y0 + b, x0 + a + width, y0 + b + tall))


def _followed(marks: _Marks, x: float, y: float) -> list[tuple[float, float]]:
    """(right end, lower end) in px of the dots that follow each other on the baseline from x on."""
    chain: list[tuple[float, float]] = []
    height = marks.height
    baseline = y + BASELINE * height
    for left, _, right, bottom in marks.dots:
        if left < x - 2:
            continue
        if left - x > (GAP if chain else FIRST) * height:
            break
        if abs(bottom - baseline) < (LEVEL if chain else 2 * LEVEL) * height:
            chain.append((right, bottom))
            x, baseline = right, bottom
    return chain
