"""Vertical text is read: a note in the margin of an upright page, and a rotated table."""

from functools import cache

import pytest
from helpers.drawn_page import FONT, draw_page, sentence
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.layout import find_lines
from nanochat.reading.ocr import OCR
from nanochat.reading.standing import standing_ink

NOTE = "Order number 4711"


@cache
def reader() -> OCR:
    return OCR("nano", "cpu")


def standing(text: str, size: int, degrees: int) -> Image.Image:
    """A text that reads upwards (90) or downwards (270)."""
    font = ImageFont.truetype(str(FONT), size)
    picture = Image.new("RGB", (round(font.getlength(text)) + 20, 2 * size), "#f4f1e8")
    ImageDraw.Draw(picture).text((10, size // 2), text, font=font, fill="#222222")
    return picture.rotate(degrees, expand=True)


@pytest.mark.parametrize("degrees", [90, 270])
def test_vertical_note_in_the_margin_is_read_last(degrees: int) -> None:
    page, _ = draw_page([sentence(i) for i in range(12)], width=800, left=90)
    note = standing(NOTE, 20, degrees)
    page.paste(note, (20, 60))
    found = reader().read(page)
    assert found.text.splitlines()[-1] == NOTE
    left, top, right, bottom = found.lines[-1].box
    assert right <= 70 and bottom - top > 3 * (right - left)
    assert found.turned == 0 and "some text is vertical: it comes last" in found.notes


def test_rotated_table_below_an_upright_header_is_read() -> None:
    page = Image.new("RGB", (900, 1200), "#f4f1e8")
    font = ImageFont.truetype(str(FONT), 24)
    ImageDraw.Draw(page).text((60, 40), "Table of goods sold", font=font, fill="#222222")
    rows = [f"{10 + i} goods paid {12 + i}.50 on Monday by card" for i in range(8)]
    for i, row in enumerate(rows):
        page.paste(standing(row, 22, 90), (80 + 60 * i, 200))
    text = reader().read(page).text
    assert "Table of goods sold" in text
    assert all(row in text for row in rows)


DAYS = [["Day", "Bread", "Milk"], ["Monday", "84", "72"], ["Tuesday", "52", "11"], ["Sunday", "32", "77"]]


@pytest.mark.parametrize("degrees", [90, 270])
def test_rotated_table_of_short_cells_is_read_row_by_row(degrees: int) -> None:
    """Upright, figures on their side are read as marks; their rows are too short to be lines of their own."""
    page, _ = draw_page([sentence(i) for i in range(6)], width=800)
    sheet = Image.new("RGB", (800, 420), "#f4f1e8")
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(str(FONT), 20)
    for i, row in enumerate(DAYS):
        for text, x in zip(row, (30, 210, 320)):
            draw.text((x, 30 + 38 * i), text, font=font, fill="#222222")
    table = sheet.crop((0, 0, 420, 200)).rotate(degrees, expand=True)
    both = Image.new("RGB", (800, page.height + 460), "#f4f1e8")
    both.paste(page, (0, 0))
    both.paste(table, (200, page.height + 20))
    found = reader().read(both)
    assert found.text.splitlines()[6:] == [" ".join(row) for row in DAYS]
    assert found.turned == 0 and [line.text for line in found.lines] == found.text.splitlines()


def test_page_without_vertical_text_has_no_second_pass() -> None:
    page, _ = draw_page([sentence(i) for i in range(12)])
    assert standing_ink(page, [line.box for line in find_lines(page)], 26.0) == []
