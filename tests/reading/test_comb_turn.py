"""A form with one letter per box is not turned: single letters look similar in every orientation."""

from helpers.drawn_page import FONT
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.layout import Line
from nanochat.reading.orientation import find_turns
from nanochat.reading.page import Page

ROWS = ("MARGARETHOLLIS", "12NOVEMBER1984", "GB29NWBK601613", "HARBOURSTREET7", "PORTELWYNNORTH")


def draw_comb() -> Image.Image:
    """An upright form of a few rows of boxes, each with a letter in it."""
    form = Image.new("RGB", (760, 420), "white")
    draw = ImageDraw.Draw(form)
    font = ImageFont.truetype(str(FONT), 24)
    for row, text in enumerate(ROWS):
        for column, letter in enumerate(text):
            x, y = 25 + 50 * column, 20 + 80 * row
            draw.rectangle((x, y, x + 40, y + 44), outline="black")
            draw.text((x + 20, y + 22), letter, font=font, fill="black", anchor="mm")
    return form


def read_letters_surely(pictures: list[Image.Image], lines: list[list[Line]]) -> list[Page]:
    """The model is sure of single letters, however they lie, and unsure of rows upside down."""
    letters = [all(s.length < 2 * s.height for line in page for s in line.segments) for page in lines]
    return [Page("HI", 1, 1, 1, 0.1, "end", mean_probability=0.99 if single else 0.5) for single in letters]


def test_single_letters_do_not_turn_an_upright_form() -> None:
    lying = Page("MARG", 1, 1, 1, 0.1, "end", mean_probability=0.8, expected_characters=30)
    assert find_turns([draw_comb()], [lying], read_letters_surely) == [0]
