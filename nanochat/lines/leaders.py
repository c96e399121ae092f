"""Dot leaders, as in a table of contents: the page number at their end is added to the line, and the dots are cut off.

The line detector mostly ignores the dots. Without this step, a single digit after them would be lost, and dots in front
of a number would be read as digits.
"""

import cv2
import numpy as np

from nanochat.lines.boxes import Box
from nanochat.lines.segment import Segment

# Lengths are multiples of the type height, unless stated otherwise.
WIDEST = 0.25  # largest width and height of a dot
GAP = 0.9  # largest gap between two dots
DOTS = 4  # least number of dots of a leader
FIRST = 1.5  # largest distance from the end of a line to the first dot
WORD = 0.6  # larger gaps end the word after the leader
BASELINE = 0.24  # distance of the baseline from the middle of the small letters
LEVEL = 0.12  # largest vertical distance of one dot from the next
LETTER = 0.4  # least height of the word after the leader
EVEN = 1.4  # largest ratio of the distances between dots
ALONE, MOSTLY = 0.6, 0.8  # of all dots within this height, the least share that belongs to the leader
AHEAD = 4.0  # largest distance from the beginning of a segment to its first letter, after dots
ROOM = 1.5  # height of the examined strip above and below the line
INK = 40  # least difference of ink and paper, in grey levels
CONTRAST = 0.35  # least contrast of ink, relative to the strongest


def without_leader(grey: np.ndarray, segment: Segment) -> Segment:
    """The segment of a page, uint8 (H, W), without the dots of a leader at its beginning."""
    height, (start, y), x = segment.height, segment.ends[0], segment.points[:, 0]
    marks = _Marks(grey, start - DOTS * (GAP + WIDEST) * height, start + AHEAD * height, y, height)
    first = next((b[0] for b in marks.others if b[0] > start and abs(b[3] - y - BASELINE * height) < height / 4), start)
    chain, end = list[Box](), first
    for dot in reversed(marks.dots):
        if dot[2] <= end + 1 and abs(dot[3] - y - BASELINE * height) < 2 * LEVEL * height:
            if end - dot[2] > GAP * height:
                break
            chain.append(dot)
            end = dot[0]
    kept = x > first - height / 8
    is_cut = marks.are_leader(chain) and kept.sum() > 1 and not kept.all()
    return Segment(segment.points[kept], height) if is_cut else segment


def led_to(grey: np.ndarray, segment: Segment, end: float) -> Segment | None:
    """The word after the leader that follows a segment of a page, uint8 (H, W), left of `end` in px; None: no leader.

    The dots are followed one by one, because the line may be curved.
    """
    height, (right, y) = segment.height, segment.ends[1]
    near = min(end, right + (FIRST + DOTS * (GAP + WIDEST)) * height)
    if near - right < DOTS * WIDEST * height or len(_followed(_Marks(grey, right, near, y, height), right, y)) < DOTS:
        return None
    marks = _Marks(grey, right, end, y, height)
    dots = _followed(marks, right, y)
    if not marks.are_leader(dots):
        return None
    x, baseline, word = dots[-1][2], dots[-1][3], list[Box]()
    for left, top, edge, bottom in marks.others:
        is_level = baseline - height < top and abs(bottom - baseline) < 0.25 * height
        if is_level and x < left < (word[-1][2] + WORD * height if word else x + FIRST * height):
            word.append((left, top, edge, bottom))
    if not word or max(bottom - top for _, top, _, bottom in word) < LETTER * height:
        return None
    along = np.arange(word[0][0], max(box[2] for box in word) + 1.0)
    return Segment(np.stack([along, np.full_like(along, baseline - BASELINE * height)], 1), height)


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

    def are_leader(self, chain: list[Box]) -> bool:
        """Whether dots are a leader: enough of them, at equal distances, and not part of a halftone background."""
        if len(chain) < DOTS:
            return False
        pitches = np.abs(np.diff([box[0] + box[2] for box in chain])) / 2
        low, high = sorted((chain[0], chain[-1]))
        middle, near = (low[3] + high[3]) / 2, ALONE * self.height
        beside = [box for box in self.dots if low[0] <= box[0] <= high[0] and abs(box[3] - middle) < near]
        return bool(pitches.max() <= EVEN * pitches.min() + 1) and len(chain) >= MOSTLY * len(beside)


def _followed(marks: _Marks, x: float, y: float) -> list[Box]:
    """The dots that follow each other on the baseline from x on; the baseline is expected at y plus BASELINE."""
    chain: list[Box] = []
    height = marks.height
    baseline = y + BASELINE * height
    for dot in marks.dots:
        left, _, right, bottom = dot
        if left < x - 2:
            continue
        if left - x > (GAP if chain else FIRST) * height:
            break
        if abs(bottom - baseline) < (LEVEL if chain else 2 * LEVEL) * height:
            chain.append(dot)
            x, baseline = right, bottom
    return chain
