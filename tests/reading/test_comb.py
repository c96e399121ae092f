"""Comb fields: forms with one letter per box are read completely, without their rules."""

import numpy as np
import pytest
from helpers.drawn_page import FONT, draw_page, sentence
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.layout import find_lines
from nanochat.reading.comb import close_combs
from nanochat.reading.ocr import OCR
from nanochat.reading.shown import Lined

ROWS = {"Name": "MARGARET HOLLIS", "Account": "GB29NWBK60161331", "Date": "12111984"}


def draw_form(gap: int, one_in_a_box: bool = True, open_on_top: bool = False) -> Image.Image:
    """A form with a row of boxes for each of ROWS; `gap`: px between two boxes, below 0 if they share a rule."""
    form = Image.new("RGB", (900, 300), "white")
    draw = ImageDraw.Draw(form)
    font, small = (ImageFont.truetype(str(FONT), size) for size in (24, 18))
    for row, (label, text) in enumerate(ROWS.items()):
        y = 30 + 90 * row
        draw.text((20, y + 20), label, font=small, fill="#774433", anchor="lm")
        for column, letter in enumerate(text):
            x = 140 + (38 + gap) * column
            draw.rectangle((x, y, x + 38, y + 42), outline="#cc7755")
            if open_on_top:
                draw.rectangle((x - 1, y, x + 39, y + 8), fill="white")
                draw.line((x, y + 6, x, y + 9), fill="#cc7755")
                draw.line((x + 38, y + 6, x + 38, y + 9), fill="#cc7755")
            shown = letter if one_in_a_box else f"{column % 9}{row}"
            draw.text((x + 19, y + 21), shown, font=font if one_in_a_box else small, fill="#111133", anchor="mm")
    return form


@pytest.mark.parametrize(("gap", "open_on_top"), [(-1, False), (5, False), (0, True), (4, True)])
def test_comb_fields_are_read_without_their_rules(gap: int, open_on_top: bool) -> None:
    read = OCR("nano", "cpu").read(draw_form(gap, open_on_top=open_on_top))
    assert read.turned == 0
    for label, text in ROWS.items():
        line = next(line for line in read.text.split("\n") if line.startswith(label))
        assert line.removeprefix(label).replace(" ", "") == text.replace(" ", "")


def test_form_with_known_lines_reads_the_same() -> None:
    """A page with a rejected text layer has known lines."""
    reader, form = OCR("nano", "cpu"), draw_form(5)
    alone, lined = (next(iter(reader.read_many([one]))) for one in (form, Lined(form, find_lines(form))))
    assert lined.text == alone.text and "GB29" in alone.text.replace(" ", "")


def test_other_pages_are_unchanged() -> None:
    page, _ = draw_page([sentence(i) for i in range(6)])
    assert close_combs(page) is page
    calendar = draw_form(-1, one_in_a_box=False)
    assert close_combs(calendar) is calendar


def test_upright_grid_lines_of_a_chart_are_no_comb() -> None:
    chart = Image.new("RGB", (500, 300), "white")
    draw, font = ImageDraw.Draw(chart), ImageFont.truetype(str(FONT), 16)
    for i in range(7):
        draw.line((60 + 60 * i, 150, 60 + 60 * i, 220), fill="#888888")
        draw.text((62 + 60 * i, 165), f"{37 + 4 * i}%", font=font, fill="black")
    draw.line((60, 220, 420, 220), fill="#888888")
    assert close_combs(chart) is chart


def test_letters_stay_in_their_field() -> None:
    form = draw_form(5)
    changed = np.asarray(close_combs(form)) != np.asarray(form)
    assert changed[:, :130].sum() == 0 and changed[20:90].any()


def test_groups_of_cells_stay_apart() -> None:
    form = Image.new("RGB", (600, 120), "white")
    draw, font = ImageDraw.Draw(form), ImageFont.truetype(str(FONT), 24)
    x = 40
    for group in ("27", "04", "2031"):
        for letter in group:
            draw.rectangle((x, 40, x + 30, 76), outline="black")
            draw.text((x + 15, 58), letter, font=font, fill="black", anchor="mm")
            x += 30
        x += 6
    columns = np.flatnonzero((np.asarray(close_combs(form).convert("L")) < 128).any(0))
    gaps = np.sort(np.diff(columns))
    assert (gaps[-2:] > 10).all() and gaps[-3] < 12
