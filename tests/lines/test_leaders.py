"""Dot leaders: the number behind them is found, and dots before it are not shown with it."""

import numpy as np
import pytest
from helpers.drawn_page import FONT
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.layout import arrange
from nanochat.lines.segment import Segment

SIZE, PITCH, LEFT, RIGHT = 20, 26, 60, 740


def draw_contents(numbers: list[str], dots: str, step: float) -> tuple[Image.Image, list[float], list[float]]:
    """Entries with leaders to numbers at a right edge: the page; where each entry ends; where each number begins."""
    page = Image.new("RGB", (800, 400), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(str(FONT), SIZE)
    ends, starts = [], []
    for i, number in enumerate(numbers):
        y, entry = 60 + i * PITCH, "Tides and charts"[: 6 + 3 * i]
        ends.append(LEFT + font.getlength(entry))
        starts.append(RIGHT - font.getlength(number))
        draw.text((LEFT, y), entry, "black", font, "lm")
        draw.text((RIGHT, y), number, "black", font, "rm")
        x = ends[-1] + 4
        while x < starts[-1] - step:
            draw.text((x, y), dots, "black", font, "lm")
            x += step
    return page, ends, starts


def stretch(left: float, right: float, y: float) -> Segment:
    x = np.arange(left, right + 1.0)
    return Segment(np.stack([x, np.full_like(x, y)], 1), 1.1 * SIZE)


@pytest.mark.parametrize("step", [7.0, 10.5])
def test_a_single_number_behind_a_leader_is_found(step: float) -> None:
    page, ends, starts = draw_contents(["2", "5", "19"], ".", step)
    segments = [stretch(LEFT, end, 60 + i * PITCH) for i, end in enumerate(ends)]
    lines = arrange(page, segments)
    found = [line.segments[-1].points[[0, -1], 0] for line in lines]
    assert [len(line.segments) for line in lines] == [2, 2, 2]
    for (left, right), start in zip(found, starts, strict=True):
        assert abs(left - start) < 4
        assert abs(right - RIGHT) < 4


def test_dots_before_a_number_are_not_shown_with_it() -> None:
    page, ends, starts = draw_contents(["12", "143", "7.50"], ".", 8.0)
    segments = [stretch(LEFT, end, 60 + i * PITCH) for i, end in enumerate(ends)]
    segments += [stretch(start - 20, RIGHT, 60 + i * PITCH) for i, start in enumerate(starts)]
    for line, start in zip(arrange(page, segments), starts, strict=True):
        assert abs(line.segments[-1].points[0, 0] - start) < 4


def test_without_a_leader_nothing_is_added_or_cut() -> None:
    page, ends, starts = draw_contents(["12", "143", "7.50"], " ", 8.0)
    y, x = np.mgrid[0:400, 0:800]
    screened = np.array(page)
    screened[(x % 7 < 2) & (y % 7 < 2)] = 90  # a screened ground
    left = [stretch(LEFT, end, 60 + i * PITCH) for i, end in enumerate(ends)]
    right = [stretch(start - 20, RIGHT, 60 + i * PITCH) for i, start in enumerate(starts)]
    for ground in (page, Image.fromarray(screened)):
        assert all(len(line.segments) == 1 for line in arrange(ground, left))
        for line, start in zip(arrange(ground, [*left, *right]), starts, strict=True):
            assert line.segments[-1].points[0, 0] == start - 20
