"""Boxes in pixels."""

from collections.abc import Iterable

Box = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are the first pixels outside


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box that contains all of the given boxes."""
    left, top, right, bottom = zip(*boxes)
    return min(left), min(top), max(right), max(bottom)


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
