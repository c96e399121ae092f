"""Small print that is not seen beside larger type is looked for again."""

import numpy as np
import pytest
from helpers.drawn_page import FONT
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.boxes import Box
from nanochat.lines.finder import find_segments
from nanochat.lines.overlooked import overlooked_rows


def draw_label(pixels: int, ground: str, ink: str) -> tuple[Image.Image, Box]:
    """Large lines with one line of small print between them: the page, and the box of the small print."""
    page = Image.new("RGB", (900, 700), ground)
    draw = ImageDraw.Draw(page)
    large, small = (ImageFont.truetype(str(FONT), size) for size in (54, pixels))
    for y, text in ((60, "Friday 12 June"), (160, "Old Mill, Canal Road"), (420, "Doors open at 7")):
        draw.text((80, y), text, fill=ink, font=large)
    place, text = (80, 300), "Please leave bicycles in the yard. No parking in front of the house."
    draw.text(place, text, fill=ink, font=small)
    left, top, right, bottom = draw.textbbox(place, text, font=small)
    return page, (round(left), round(top), round(right), round(bottom))


@pytest.mark.parametrize("pixels", [10, 11, 12, 13])
@pytest.mark.parametrize(("ground", "ink"), [("white", "black"), ("#f2c230", "#111111"), ("#10316b", "white")])
def test_small_print_among_large_lines_is_found(pixels: int, ground: str, ink: str) -> None:
    page, (left, top, right, bottom) = draw_label(pixels, ground, ink)
    found = [segment.box for segment in find_segments(page)]
    small = [box for box in found if box[1] < bottom and box[3] > top]
    assert sum(min(box[2], right) - max(box[0], left) for box in small) > 0.9 * (right - left)
    assert len(found) - len(small) == 3


def test_rules_grain_and_covered_letters_are_no_overlooked_rows() -> None:
    page, box = draw_label(11, "white", "black")
    grey = np.array(page.convert("L"))
    assert overlooked_rows(grey, [])
    assert not overlooked_rows(grey, [box])
    empty = np.full((400, 400), 250, np.uint8)
    empty[100:102, 20:380] = 0
    empty[200, 20:380:4] = 0  # a dotted rule
    grain = np.random.default_rng(1).random((400, 400)) < 0.02
    assert not overlooked_rows(empty, [])
    assert not overlooked_rows(np.where(grain, 0, empty).astype(np.uint8), [])
