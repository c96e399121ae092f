"""Signs that the model leaves out are restored from the picture of the line."""

import pytest
from helpers.line_piece import FACES, MONO, piece_of

from nanochat.reading.alphabet import in_one_alphabet
from nanochat.reading.shapes import restore_signs


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
    assert in_one_alphabet("code.\u0435xample \u0421AFE 12 \u00b5m \u0417RD") == "code.example CAFE 12 \u00b5m 3RD"
    for text in ("\u043f\u0440\u0438\u0432\u0435\u0442 mir", "\u0394x = 5", "\u00fcber \u0159eka"):
        assert in_one_alphabet(text) == text
