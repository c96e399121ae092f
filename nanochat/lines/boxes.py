"""Boxes in pixels."""

from collections.abc import Iterable, Sequence

import numpy as np

Box = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are the first pixels outside


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box that contains all of the given boxes."""
    left, top, right, bottom = zip(*boxes)
    return min(left), min(top), max(right), max(bottom)


def shares_covered(box: Box, others: Sequence[Box]) -> np.ndarray:
    """The share of a box that each of the others covers: float64 (N,), 0 to 1."""
    left, top, right, bottom = np.asarray(others, int).reshape(-1, 4).T
    width = (np.minimum(right, box[2]) - np.maximum(left, box[0])).clip(0)
    height = (np.minimum(bottom, box[3]) - np.maximum(top, box[1])).clip(0)
    return width * height / max(1, (box[2] - box[0]) * (box[3] - box[1]))


def turn_size(size: tuple[int, int], degrees: int) -> tuple[int, int]:
    """(width, height) of an image of `size` after a rotation by 0, 90, 180 or 270 degrees."""
    width, height = size
    return (width, height) if degrees % 180 == 0 else (height, width)


def turn_box(box: Box, degrees: int, size: tuple[int, int]) -> Box:
    """The box after its image of `size` (width, height) is rotated clockwise by 0, 90, 180 or 270 degrees."""
    left, top, right, bottom = box
    width, height = size
    return {
        0: (left, top, right, bottom),
        90: (height - bottom, left, height - top, right),
        180: (width - right, height - bottom, width - left, height - top),
        270: (top, width - right, bottom, width - left),
    }[degrees % 360]
