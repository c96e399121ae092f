"""Large type above small is found, and is one line; small type below it is found as before."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.drawn_page import FONT, sentence
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.boxes import Box
from nanochat.lines.finder import find_segments
from nanochat.synth import LEVELS, draw_document


def draw_poster(title: str, size: int, colour: str = "black") -> tuple[Image.Image, Box, list[Box]]:
    """A page with a title of `size` px over six lines of 24 px: the page, the title's box, the lines' boxes."""
    page = Image.new("RGB", (1240, 900), "white")
    draw = ImageDraw.Draw(page)

    def write(x: int, y: int, text: str, pixels: int, colour: str = "black") -> Box:
        font = ImageFont.truetype(str(FONT), pixels)
        draw.text((x, y), text, font=font, fill=colour)
        left, top, right, bottom = draw.textbbox((x, y), text, font=font)
        return round(left), round(top), round(right), round(bottom)

    title_box = write(60, 60, title, size, colour)
    return page, title_box, [write(60, 560 + 45 * i, sentence(i, 8), 24) for i in range(6)]


def share_within(box: Box, other: Box) -> float:
    """Share of a box's area that lies in another."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0, width) * max(0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


@pytest.mark.parametrize(
    ("title", "size", "colour"),
    [
        ("Closed today", 150, "black"),
        ("CLOSED", 260, "black"),
        ("Summer sale", 100, "black"),
        ("STOP", 420, "black"),
        ("50% off", 260, "#fc0000"),  # coloured letters as large as buttons are no buttons
    ],
)
def test_a_title_of_large_type_is_found_whole(title: str, size: int, colour: str) -> None:
    page, box, lines = draw_poster(title, size, colour)
    found = [segment.box for segment in find_segments(page)]
    here = [other for other in found if share_within(other, box) > 0.3]
    assert len(here) == 1
    assert share_within(box, here[0]) > 0.7
    for line in lines:
        assert any(share_within(line, other) > 0.6 for other in found)
    assert len(found) == 1 + len(lines)


def test_a_short_line_of_small_type_is_found_below_many_of_large_type() -> None:
    page = Image.new("RGB", (1240, 900), "white")
    draw = ImageDraw.Draw(page)
    large, small = (ImageFont.truetype(str(FONT), pixels) for pixels in (96, 22))
    for i in range(3):
        draw.text((60, 60 + 150 * i), sentence(i, 3)[:18], font=large, fill="black")
    draw.text((60, 640), "Office hours: ring twice", font=small, fill="black")
    box = draw.textbbox((60, 640), "Office hours: ring twice", font=small)
    found = [segment.box for segment in find_segments(page)]
    assert any(share_within(tuple(map(round, box)), other) > 0.6 and other[3] - other[1] < 50 for other in found)
    assert len(found) == 4


def test_the_bars_of_a_chart_take_no_labels_away() -> None:
    level = replace(LEVELS["page"], kinds=("bars",), degrade=0.9)
    for seed in (19, 23, 24, 29, 39):
        drawn = draw_document(level, seed, "hard")
        boxes = [segment.box for segment in find_segments(Image.fromarray(drawn.image).convert("RGB"))]
        seen = [any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in boxes) for x, y in drawn.centres]
        largest = max((b[3] - b[1] for b in boxes), default=0)
        assert np.mean(seen) > 0.7 and largest < drawn.image.shape[0] / 4, (seed, np.mean(seen), largest)
