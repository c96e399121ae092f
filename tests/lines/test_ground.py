"""Text on coloured and mid-tone backgrounds is detected and read as on paper."""

import numpy as np
import pytest
from helpers.drawn_page import FONT, draw_page
from helpers.shared_data import shared_data
from PIL import Image, ImageDraw, ImageFont

from nanochat import OCR
from nanochat.lines.ground import level_page, level_strip
from nanochat.reading.page import Page

GROUNDS = {
    "white on orange": ("#e8700f", "#ffffff", "4,184.27"),
    "white on grey": ("#9e9e9e", "#ffffff", "71,936.10"),
    "white on cyan": ("#00bcd4", "#ffffff", "602.58"),
    "white on amber": ("#ffb300", "#ffffff", "8,032.12"),
    "black on red": ("#d50000", "#000000", "9,415.08"),
    "red on green": ("#2e9e2e", "#e02828", "7,537.16"),
    "green on brown": ("#6d4c41", "#2e7d32", "3,906.45"),
    "blue on red": ("#8d3a2e", "#3058a8", "1,268.93"),
}


def draw_cards() -> Image.Image:
    """A page with an amount in a coloured card for each of GROUNDS."""
    page = Image.new("RGB", (640, 475), "white")
    draw = ImageDraw.Draw(page)
    for i, (ground, ink, text) in enumerate(GROUNDS.values()):
        x, y = 20 + 310 * (i % 2), 15 + 115 * (i // 2)
        draw.rounded_rectangle((x, y, x + 280, y + 95), 8, fill=ground)
        draw.text((x + 30, y + 28), text, font=ImageFont.truetype(str(FONT), 30), fill=ink)
    return page


@pytest.fixture(scope="module")
def reader() -> OCR:
    return OCR("nano", device="cpu")


@pytest.fixture(scope="module")
def cards(reader: OCR) -> Page:
    return reader.read(draw_cards())


@pytest.mark.parametrize("name", GROUNDS)
def test_amounts_on_coloured_backgrounds_are_read(cards: Page, name: str) -> None:
    assert GROUNDS[name][2] in cards.text.split()


def test_dashboard_of_coloured_buttons_is_read_without_errors(reader: OCR) -> None:
    folder = shared_data("cases/30-white-on-coloured-buttons")
    text = reader.read(folder / "dashboard.png").text
    assert text.split() == (folder / "expected.txt").read_text().split()


@pytest.mark.parametrize(("paper", "ink"), [("#ffffff", "#000000"), ("#dcd8c8", "#444444"), ("#16274d", "#ffffff")])
def test_known_backgrounds_are_unchanged(paper: str, ink: str) -> None:
    page, boxes = draw_page(["Total 12.50"], paper=paper, ink=ink)
    pixels = np.asarray(page)
    left, top, right, bottom = boxes[0]
    strip = pixels[top - 4 : bottom + 4, left - 8 : right + 8]
    assert level_page(pixels) is pixels
    assert level_strip(strip, 40) is strip


def test_noise_on_a_coloured_background_is_not_ink() -> None:
    noise = np.random.default_rng(0).normal(0, 5, (60, 300, 3))
    strip = (np.array([232, 112, 15]) + noise).clip(0, 255).astype(np.uint8)
    assert level_strip(strip, 40) is strip
