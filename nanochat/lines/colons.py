"""Detect colons at the ends of words in the image of a line. A word that ends in a colon is a label."""

import cv2
import numpy as np

from nanochat.lines.gutters import Ink, runs, strip_along
from nanochat.lines.segment import Segment

# All lengths are multiples of the type height.
STEPS = 41  # sampled rows, from half a type height above the middle of the small letters to half below
NARROWEST, WIDEST = 0.04, 0.22  # width of a colon
SPACE = 0.2  # least space after a colon
TALLEST = 0.22  # greatest height of each of its two dots
APART = 0.08  # least distance between its dots
HIGHEST, LOWEST = -0.33, 0.36  # vertical range of a colon, relative to the middle of the small letters


def has_label(ink: Ink, segment: Segment) -> bool:
    """Whether a word of a segment ends in a colon."""
    height = segment.height
    if segment.length < 2 * height:
        return False
    x, _, _ = ink.along(segment)
    dark = _dark(ink.grey, segment, x)
    stretches = runs(np.asarray(dark.any(0)))
    ends = [a for a, _ in stretches[1:]] + [len(x) + int(height)]
    return any(
        first > 0
        and NARROWEST * height <= last - first <= WIDEST * height
        and end - last > SPACE * height
        and _is_colon(dark[:, first:last])
        for (first, last), end in zip(stretches, ends)
    )


def _dark(grey: np.ndarray, segment: Segment, x: np.ndarray) -> np.ndarray:
    """Bool (STEPS, W): whether there is ink at each x, in each sampled row from top to bottom."""
    strip = strip_along(grey, segment, x, np.linspace(-0.5, 0.5, STEPS), cv2.BORDER_REPLICATE)
    contrast = np.abs(strip.astype(np.float32) - np.median(strip))
    return contrast > 0.4 * np.percentile(contrast.max(0), 85)


def _is_colon(dark: np.ndarray) -> bool:
    """Whether `ink`, bool (STEPS, W), is two small dots above each other within the height of small letters."""
    dots = runs(dark.mean(1) > 0.34)
    if len(dots) != 2:
        return False
    (top, upper), (lower, low) = dots
    places = np.linspace(-0.5, 0.5, STEPS)
    return bool(
        max(upper - top, low - lower) <= TALLEST * STEPS
        and lower - upper >= APART * STEPS
        and places[top] > HIGHEST
        and places[low - 1] < LOWEST
        and places[lower] > 0
    )
