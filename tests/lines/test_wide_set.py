"""Columns whose lines stand far apart, or have rivers of wide spaces, are columns."""

import numpy as np
from PIL import Image

from nanochat.lines.layout import arrange
from nanochat.lines.segment import Segment

PAGE = Image.new("RGB", (900, 900), "white")


def stretch(left: float, right: float, y: float) -> Segment:
    x = np.arange(left, right + 1.0)
    return Segment(np.stack([x, np.full_like(x, y)], 1), 18.0)


def starts(segments: list[Segment]) -> list[float]:
    return [line.segments[0].points[0, 0] for line in arrange(PAGE, segments)]


def test_columns_of_many_lines_set_one_and_a_half_apart_are_read_one_after_the_other() -> None:
    lines = [stretch(left, left + 380 - 60 * (i == 9), 60 + 34 * i) for i in range(10) for left in (40, 450)]
    assert starts(lines) == [40] * 10 + [450] * 10


def test_a_river_in_justified_text_parts_no_lines() -> None:
    left = [stretch(40, 420, 60 + 24 * i) for i in range(5)]
    left += [
        s for i in range(5, 8) for s in (stretch(40, 215 - 9 * i, 60 + 24 * i), stretch(230 - 9 * i, 420, 60 + 24 * i))
    ]
    right = [stretch(450, 830, 72 + 24 * i) for i in range(8)]
    assert starts([*left, *right]) == [40] * 8 + [450] * 8
