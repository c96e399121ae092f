"""Blank margins are skipped without losing text, and dirt in them is not text."""

import random

import numpy as np
import pytest
from helpers.drawn_page import FONT, draw_page, sentence
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.finder import Predictions, find_segments, line_finder
from nanochat.lines.inked_page import inked_boxes


def on_sheet(part: Image.Image, size: tuple[int, int], corner: tuple[int, int]) -> Image.Image:
    sheet = Image.new("RGB", size, part.getpixel((0, 0)))
    sheet.paste(part, corner)
    return sheet


def counting(seen: list[int]):
    """The line detector, with a count of the pixels that it processes."""
    finder = line_finder()

    def find(pixels: np.ndarray) -> Predictions:
        seen.append(pixels[0, 0].size)
        return finder(pixels)

    return find


@pytest.mark.parametrize(("size", "corner"), [(22, (300, 500)), (13, (40, 650)), (13, (700, 0))])
def test_blank_margins_are_not_processed(size: int, corner: tuple[int, int]) -> None:
    part, boxes = draw_page([sentence(i) for i in range(6)], size=size, width=420, left=30)
    sheet, seen = on_sheet(part, (1200, 1400), corner), list[int]()
    found = sorted((s.box for s in find_segments(sheet, counting(seen))), key=lambda box: box[1])
    assert len(found) == len(boxes)
    for (left, top, right, bottom), (x0, y0, x1, y1) in zip(found, boxes):
        assert abs(left - x0 - corner[0]) < size and abs(right - x1 - corner[0]) < size
        assert top < y0 + corner[1] + size / 2 and bottom > y1 + corner[1] - size / 2
    assert max(seen) < 1200 * 1400 / 2


def test_distant_page_number_is_found_and_dust_is_not_a_line() -> None:
    part, boxes = draw_page([sentence(i, 8) for i in range(12)], size=13, width=700, left=40)
    sheet = on_sheet(part, (900, 1280), (60, 40))
    draw, rng = ImageDraw.Draw(sheet), random.Random(1)
    for _ in range(60):
        x, y = rng.randrange(10, 880), rng.randrange(500, 1150)
        draw.ellipse((x, y, x + 2, y + 2), fill="#808080")
    draw.line((899, 0, 899, 1279), fill="black")  # the edge of a scan
    draw.text((440, 1220), "- 47 -", font=ImageFont.truetype(str(FONT), 14), fill="#222222")
    found = [segment.box for segment in find_segments(sheet)]
    assert any(box[1] > 1200 and 430 < box[0] < 450 for box in found)
    assert len(found) == len(boxes) + 1


def test_inked_boxes_by_hand() -> None:
    page = np.full((400, 600, 3), 250, np.uint8)
    assert inked_boxes(page) == ((0, 0, 0, 0), (0, 0, 0, 0))
    page[100:110, 200:300] = 20  # text
    page[350:353, 560:563] = 20  # a speck
    page[:, 599] = 0  # the edge of a scan
    everything, marks = inked_boxes(page)
    assert everything == (192, 0, 600, 400)
    assert marks == (192, 96, 304, 112)
    assert find_segments(Image.new("RGB", (300, 200), "white")) == []
