"""Large type above small type is detected as one line, and the small type below it is still detected."""

import numpy as np
import pytest
from helpers.drawn_page import FONT, sentence
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.boxes import Box
from nanochat.lines.finder import _is_bit, _left_out, find_segments
from nanochat.lines.segment import Segment


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
        ("50% off", 260, "#fc0000"),  # coloured letters as large as buttons are not buttons
    ],
)
def test_title_in_large_type_is_one_line(title: str, size: int, colour: str) -> None:
    page, box, lines = draw_poster(title, size, colour)
    found = [segment.box for segment in find_segments(page)]
    here = [other for other in found if share_within(other, box) > 0.3]
    assert len(here) == 1
    assert share_within(box, here[0]) > 0.7
    for line in lines:
        assert any(share_within(line, other) > 0.6 for other in found)
    assert len(found) == 1 + len(lines)


def test_short_line_in_small_type_below_large_type_is_found() -> None:
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


@pytest.mark.parametrize("width", [36, 44])
def test_bars_of_a_chart_do_not_hide_its_labels(width: int) -> None:
    page = Image.new("RGB", (512, 512), (172, 168, 162))
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(str(FONT), 15)
    labels = []
    for i, (word, height) in enumerate(
        zip(("Govern", "Fern", "Is", "Whelk", "Ripen", "Byte"), (130, 180, 60, 130, 70, 200))
    ):
        left = 66 + 72 * i
        draw.rectangle((left, 290 - height, left + width, 290), fill=(124, 92, 64))
        draw.text((left, 300), word, font=font, fill=(40, 30, 20))
        labels.append(draw.textbbox((left, 300), word, font=font))
    boxes = [segment.box for segment in find_segments(page)]
    assert all(any(share_within(label, box) > 0.6 for box in boxes) for label in labels), boxes
    assert max(bottom - top for _, top, _, bottom in boxes) < 60, boxes


def test_price_that_fills_half_of_a_low_picture_is_found_whole() -> None:
    """It is only detected as a whole where the picture is less than 72 px high."""
    slide = Image.new("RGB", (1100, 440), "white")
    draw = ImageDraw.Draw(slide)
    for y, text, size in ((15, "The year in one picture", 50), (385, "of all orders came back a second time", 28)):
        draw.text((40, y), text, font=ImageFont.truetype(str(FONT), size), fill="black")
    font = ImageFont.truetype(str(FONT.with_name("DejaVuSans-Bold.ttf")), 240)
    draw.text((40, 85), "19.95", font=font, fill="black")
    left, top, right, bottom = map(round, draw.textbbox((40, 85), "19.95", font=font))
    found = [segment.box for segment in find_segments(slide)]
    assert any(share_within((left, top, right, bottom), other) > 0.95 for other in found)


def test_parts_of_a_large_line_found_at_two_thirds_of_its_height_belong_to_it() -> None:
    """An italic title may first be found in two parts, lower than its letters; a whole line may seem larger later."""
    large, word, below = (
        Segment(np.array([[x0, y], [x1, y]], float), height)
        for x0, x1, y, height in ((176, 737, 141, 122), (300, 577, 144, 77), (200, 400, 185, 30))
    )
    assert _is_bit(word, large, partly=True)
    assert not _is_bit(word, large, partly=False)
    assert not _is_bit(below, large, partly=True)


def test_ink_of_a_large_line_that_was_only_partly_found() -> None:
    page = Image.new("RGB", (700, 200), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(str(FONT), 100)
    draw.text((40, 40), "Slow River", font=font, fill="black")
    draw.rectangle((0, 155, 700, 200), fill="black")  # a rule is no letter
    left, top, right, bottom = draw.textbbox((40, 40), "Slow River", font=font)
    large = Segment(np.array([[left - 8, (top + bottom) / 2], [right + 8, (top + bottom) / 2]]), bottom - top + 30)
    half = Segment(np.array([[left, (top + bottom) / 2], [(left + right) / 2, (top + bottom) / 2]]), bottom - top + 30)
    assert _left_out(large, [large], page) < 0.01
    assert 0.4 < _left_out(large, [half], page) < 0.6
