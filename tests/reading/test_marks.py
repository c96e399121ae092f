"""Runs of equal marks keep their number, which is counted in the picture."""

import pytest
from helpers.line_piece import FACES, piece_of

from nanochat.reading.marks import count_marks, split_after_runs


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
