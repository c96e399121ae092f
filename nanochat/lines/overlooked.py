"""Ink outside the detected lines that looks like lines of small print.

The line detector often misses type under about 12 pixels, especially beside larger type. Where letters of that size
form a row outside the detected lines, it runs again at a larger scale.
"""

import cv2
import numpy as np

from nanochat.lines.boxes import Box

SMALLEST = 8  # px: smaller images are skipped
AROUND = 43  # px: side of the square whose median is the paper
CONTRAST = 40  # least difference of ink and paper, in grey levels
WITHIN = 0.3  # least share of a letter inside a line of which it is a part
WIDEST = 3.0  # largest width of touching letters, relative to HIGHEST
SPACE = 9  # px: largest space between words
LOWEST, HIGHEST = 5, 18  # px: least and largest height of a row of letters
LONGEST_PART, SHORTEST = 0.8, 3.0  # largest share of ink in a pixel row; least length of a row of letters in heights
LEAST, MOST = 0.12, 0.7  # share of ink in the bounding box
PER_LETTER = 1.2  # largest width per stroke of its letters, relative to the height of the row


def overlooked_rows(grey: np.ndarray, covered: list[Box]) -> list[Box]:
    """Bounding boxes in px of rows of small letters in an image, uint8 (H, W), outside the boxes `covered`."""
    if min(grey.shape) < SMALLEST:
        return []
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    paper = cv2.resize(cv2.medianBlur(half, AROUND // 2), grey.shape[::-1])
    ink = (cv2.absdiff(grey, paper) > CONTRAST).astype(np.uint8)
    ink = _letters_outside(ink, covered)
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, SPACE), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    rows = []
    for left, top, width, height, _ in stats[1:].tolist():
        if LOWEST <= height <= HIGHEST and width >= SHORTEST * height:
            box = left, top, left + width, top + height
            if _has_letters(ink[top : top + height, left : left + width]):
                rows.append(box)
    return rows


def _letters_outside(ink: np.ndarray, covered: list[Box]) -> np.ndarray:
    """Ink, 0 or 1, (H, W), without shapes that are too large for small letters or inside the boxes `covered`."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink)
    seen = np.zeros(ink.shape, bool)
    for left, top, right, bottom in covered:
        seen[max(0, top) : bottom + 1, max(0, left) : right + 1] = True
    inside = np.bincount(labels[seen], minlength=len(stats))
    kept = (inside < WITHIN * stats[:, 4]) & (stats[:, 3] <= HIGHEST) & (stats[:, 2] <= WIDEST * HIGHEST)
    kept[0] = False
    return kept[labels].astype(np.uint8)


def _has_letters(ink: np.ndarray) -> bool:
    """Whether the ink of a row, 0 or 1, (H, W), consists of many short strokes rather than of rules or grain."""
    height, width = ink.shape
    if not LEAST <= ink.mean() <= MOST or ink.mean(1).max() > LONGEST_PART:
        return False
    strokes = (np.diff(ink.astype(np.int8), axis=1) > 0).sum(1)
    return bool(np.sort(strokes)[-height // 3 :].min() * PER_LETTER * height >= width)
