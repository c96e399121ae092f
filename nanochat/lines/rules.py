"""Horizontal rules on a page: thin lines of ink that are much longer than letters."""

from typing import NamedTuple

import cv2
import numpy as np

LENGTH = 6.0  # least length in type heights
THICK = 0.3  # greatest thickness in type heights
CONTRAST = 24  # least difference in grey levels from the paper above and below


class Rule(NamedTuple):
    """A horizontal rule, in px of the page."""

    left: float
    right: float
    y: float


def find_rules(grey: np.ndarray, height: float) -> list[Rule]:
    """The horizontal rules of a page, uint8 (H, W), with type of `height` px, from top to bottom."""
    step = max(1, int(height / 12))  # large pages are reduced to the darkest of every few rows
    thick = max(3, 2 * round(THICK * height) + 1)
    paper = cv2.medianBlur(grey, 3) if thick <= 3 else grey
    hat = cv2.morphologyEx(paper, cv2.MORPH_BLACKHAT, np.ones((thick, 1), np.uint8))
    dark = cv2.morphologyEx((hat > CONTRAST).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, 2 * step + 1), np.uint8))
    length = max(3, round(LENGTH * height))
    long = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(long, connectivity=8)
    found = [Rule(x, x + w, y + h / 2) for x, y, w, h, _ in stats[1:].tolist() if h <= THICK * height + 2]
    return sorted(found, key=lambda rule: rule.y)
