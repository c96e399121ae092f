"""A long word that is cut into several views is joined without a space."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from helpers.drawn_page import FONT, draw_page
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.cut import Piece, cut_lines, join
from nanochat.lines.layout import Line
from nanochat.lines.segment import Segment

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SENTENCE = "the total amount of all the goods sold and paid by card on the second Monday of May"


def pieces_of(text: str, size: int = 24) -> list[Piece]:
    """The views of a page of one line of text."""
    page, [(left, _, right, _)] = draw_page([text], size=size, width=1600)
    ascent, descent = ImageFont.truetype(str(FONT), size).getmetrics()
    height = 0.82 * (ascent + descent)
    middle = size * 1.5 + ascent - 0.27 * size
    x = np.arange(left, right + 1.0)
    return cut_lines(page, [Line((Segment(np.stack([x, np.full_like(x, middle)], 1), height),))])


@pytest.mark.parametrize("size", [16, 24, 40])
def test_views_of_one_long_word_are_marked_as_continued(size: int) -> None:
    pieces = pieces_of(HASH if size < 40 else HASH[:48], size)
    assert len(pieces) > 1
    assert [piece.goes_on for piece in pieces] == [False] + [True] * (len(pieces) - 1)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_views_of_a_sentence_are_cut_between_words(size: int) -> None:
    pieces = pieces_of(SENTENCE, size)
    assert len(pieces) > 1
    assert not any(piece.goes_on for piece in pieces)


def test_wide_gaps_in_type_of_one_width_are_no_spaces() -> None:
    url = "ssh://git@files.illinois.it:2222/i/l/t/1.1.1/i:l:i:l:i/1ij1.tar"
    face = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf"
    font = ImageFont.truetype(str(face), 24)
    for text, is_one in ((url, True), (" ".join(["still it is 1 list"] * 4), False)):
        width = round(font.getlength(text))
        page = Image.new("RGB", (width + 60, 80), "white")
        ImageDraw.Draw(page).text((30, 40), text, "black", font, "lm")
        x = np.arange(30.0, 30 + width)
        pieces = cut_lines(page, [Line((Segment(np.stack([x, np.full_like(x, 40)], 1), 26.0),))])
        assert len(pieces) > 1
        assert [piece.goes_on for piece in pieces[1:]] == [is_one] * (len(pieces) - 1)


def test_continued_words_are_joined_without_a_space() -> None:
    page, _ = draw_page(["a"])
    pieces = [Piece(page, row, (0, 0, 1, 1), goes_on=on) for row, on in [(0, False), (0, True), (0, False), (1, False)]]
    assert join(["9f86d0", "81884c", "next", "below"], pieces) == "9f86d081884c next\nbelow"


@pytest.mark.parametrize("thickness", [1, 2])
def test_rules_between_cells_are_not_shown_but_tall_letters_are(thickness: int) -> None:
    page, font = Image.new("RGB", (400, 90), "#f4f0e8"), ImageFont.truetype(str(FONT), 24)
    draw = ImageDraw.Draw(page)
    draw.text((40, 45), "7     13     (l|", "#222222", font, "lm")
    ruled = page.copy()
    for x in (70, 150):
        ImageDraw.Draw(ruled).rectangle((x, 0, x + thickness - 1, 90), fill="#444444")
    x = np.arange(40.0, 220.0)
    line = Line((Segment(np.stack([x, np.full_like(x, 45)], 1), 26.0),))
    (plain,), (shown,) = (cut_lines(image, [line]) for image in (page, ruled))
    assert np.abs(np.asarray(plain.picture, int) - np.asarray(shown.picture, int)).max() < 24
