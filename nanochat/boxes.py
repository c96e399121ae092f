"""Boxes in pixels."""

from collections.abc import Iterable

Box = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are the first pixels outside


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all."""
    left, top, right, bottom = zip(*boxes)
    return min(left), min(top), max(right), max(bottom)
