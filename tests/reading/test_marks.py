"""Runs of equal marks keep their number, which is counted in the picture."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.cut import Piece, cut_lines
from nanochat.lines.layout import Line
from nanochat.lines.segment import Segment
from nanochat.reading.marks import count_marks, split_after_runs

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
FACES = ("DejaVuSansMono.ttf", "DejaVuSerif.ttf", "DejaVuSans.ttf")


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
        ("MARIA<<<<<<<<<<", "MARIA<<<<<<c<"),
        ("ZE184226B<<<<<10", "ZE184226B<<<<10"),
        ("==== Part 4 ====", "==== Part 4 ==="),
        ("wait.... what??? no!!!!!", "wait... what???? no!!!!!!"),
        ("******** NOTE ****", "********* NOTE ****"),
    ],
)
def test_marks_are_as_many_as_in_the_picture(face: str, written: str, read: str) -> None:
    assert count_marks(read, piece_of(written, face)) == written


@pytest.mark.parametrize(
    "text", ["see ... and <<quoted>> or 1111", "C:\\\\temp\\\\x // ../lib", "a == b && c", "12.50 -- 3"]
)
@pytest.mark.parametrize("face", FACES)
def test_what_is_read_right_stays(face: str, text: str) -> None:
    assert count_marks(text, piece_of(text, face)) == text


def test_what_the_picture_does_not_show_stays() -> None:
    assert count_marks("<<<< 5", piece_of("Total amount", FACES[2])) == "<<<< 5"


@pytest.mark.parametrize("face", FACES)
def test_a_line_is_divided_after_a_long_run(face: str) -> None:
    whole = piece_of("UTO<<<<<<<<<<<6", face)
    first, second = split_after_runs([whole])
    assert second.goes_on and first.box[2] <= second.box[0] + 1
    assert count_marks("UTO<<<<<<<", first) == "UTO<<<<<<<<<<<"
    assert split_after_runs([second]) == [second]


def test_a_number_after_leader_dots_is_a_word_of_its_own() -> None:
    _, number = split_after_runs([piece_of("Total ........ 12.50", FACES[2])])
    assert not number.goes_on


@pytest.mark.parametrize("text", ["Total 1111 paid", "ERIKSSON<<ANNA", "wait.... what", "END ========"])
def test_other_lines_stay_whole(text: str) -> None:
    whole = piece_of(text, FACES[0])
    assert split_after_runs([whole]) == [whole]
