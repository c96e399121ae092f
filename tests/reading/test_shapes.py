"""Signs that the model leaves out are restored from the picture of the line."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.cut import Piece, cut_lines
from nanochat.lines.layout import Line
from nanochat.lines.segment import Segment
from nanochat.reading.alphabet import in_one_alphabet
from nanochat.reading.shapes import restore_signs

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
MONO, SERIF, SANS = FACES = ("DejaVuSansMono.ttf", "DejaVuSerif.ttf", "DejaVuSans.ttf")


def piece_of(text: str, face: str, size: int = 24) -> Piece:
    """A line in this face, as it is shown to the model."""
    font = ImageFont.truetype(str(FONTS / face), size)
    width = round(font.getlength(text))
    page = Image.new("RGB", (width + 60, 80), "white")
    ImageDraw.Draw(page).text((30, 40), text, "black", font, "lm")
    x = np.arange(30.0, 30 + width)
    (piece,) = cut_lines(page, [Line((Segment(np.stack([x, np.full_like(x, 40)], 1), 1.1 * size),))])
    return piece


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1'234'567.80", "1234567.80"),
        ("1'234'567.80", "1'234567.80"),
        ("paid 12'000 of 9'999'999.99", "paid 12000 of 9'999999.99"),
        ("7'758'444.64", '7"758"444.64'),
    ],
)
def test_apostrophes_of_numbers(face: str, written: str, read: str) -> None:
    assert restore_signs(read, piece_of(written, face)) == written


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("return x // 2;", "return x / 2;"),
        ("x = p || !r;", "x = p | !r;"),
        ("i++; j--; k = 3", "i++; j-=; k = 3"),
        ("cout << x >> 2;", "cout <= x > 2;"),
        ("http://a.b//c/d?x=1", "http:/a.b/c/d?x=1"),
    ],
)
def test_second_of_two_equal_marks(written: str, read: str) -> None:
    assert restore_signs(read, piece_of(written, MONO)) == written


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    "text",
    [
        "12345.67 and 1'234",
        'a 12" pipe, 3/4 or 12/03/2031',
        "x <= y && a/b // c",
        "5\"125 x 8'200",
        "100000",
        "a - b -- c",
    ],
)
def test_what_is_read_right_stays(face: str, text: str) -> None:
    assert restore_signs(text, piece_of(text, face)) == text


@pytest.mark.parametrize(
    ("written", "read"), [("out.append(a[i])", "out.append(a[i]"), ("x = b[j + 1]", "x = b[j + 1")]
)
def test_closing_bracket_at_the_end(written: str, read: str) -> None:
    assert restore_signs(read, piece_of(written, MONO)) == written
    assert restore_signs(read, piece_of(read, MONO)) == read


def test_letters_of_another_alphabet_in_a_word() -> None:
    assert in_one_alphabet("code.\u0435xample \u0421AFE 12 \u00b5m") == "code.example CAFE 12 \u00b5m"
    for text in ("\u043f\u0440\u0438\u0432\u0435\u0442 mir", "\u0394x = 5", "\u00fcber \u0159eka"):
        assert in_one_alphabet(text) == text
