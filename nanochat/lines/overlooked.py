"""Ink that looks like lines of small print, and that no line covers.

The line detector does not see type under about 12 pixels well, above all beside larger type. Where letters of that size
stand in a row outside the lines that it found, it looks again.
"""

import cv2
import numpy as np

from nanochat.lines.boxes import Box

SMALLEST = 8  # px: a smaller picture has no room for a row
AROUND = 43  # px: the paper is the median of so many pixels in each direction
CONTRAST = 40  # grey levels between ink and paper
WITHIN = 0.3  # share of a letter that lies in a line: the letter is one of its own
WIDEST = 3.0  # times as wide as high: letters that touch
SPACE = 9  # px between words, at most
LOWEST, HIGHEST = 5, 18  # px: height of a row of letters
LONGEST_PART, SHORTEST = 0.8, 3.0  # a row's longest stroke along it, as a share; its length in heights at least
LEAST, MOST = 0.12, 0.7  # share of its box that is ink
PER_LETTER = 1.2  # heights of the row, at most, for each stroke of its letters


def overlooked_rows(grey: np.ndarray, covered: list[Box]) -> list[Box]:
    """Boxes in px around rows of small letters in a picture, uint8 (H, W), outside these boxes."""
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
    """Ink, 0 or 1, (H, W), without shapes that are too large for small letters or lie in these boxes."""
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
