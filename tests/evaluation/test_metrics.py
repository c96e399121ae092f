"""Metrics, compared with cases counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from nanochat.evaluation.scores import score_page
from nanochat.metrics import (
    WordScores,
    character_error_rate,
    exact_match,
    find_values,
    is_looping,
    longest_repetition,
    normalise_text,
    normalised_edit_similarity,
    order_errors,
    relaxed_accuracy,
    values_right,
    word_overlap,
    word_precision_recall_f1,
)


@pytest.mark.parametrize(
    ("text", "fold_case", "expected"),
    [
        ("", False, ""),
        (" \n\t ", False, ""),
        ("  TOTAL \n\n 9.00\t RM ", False, "TOTAL 9.00 RM"),
        ("Gross\u00a0Straße", True, "gross strasse"),
        ("Cafe\u0301 A\u030angstro\u0308m", False, "Caf\u00e9 \u00c5ngstr\u00f6m"),
        ("“It’s ‘1990–95’,” he said — „so‚", False, "\"It's '1990-95',\" he said — \"so'"),
    ],
)
def test_normalise_text(text, fold_case, expected):
    assert normalise_text(text, fold_case) == expected


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("kitten", "sitting", 3 / 7),  # two substitutions, one insertion
        ("sitting", "kitten", 3 / 6),
        ("abcd", "abcd", 0),
        ("", "abcd", 1),
        ("abcdefgh", "ab", 3),  # six too many for two
        ("", "", 0),
        ("abc", "", 3),
        ("a b", "a  b", 1 / 4),  # white space counts
        ("ABC", "abc", 1),
    ],
)
def test_character_error_rate(output, reference, expected):
    assert character_error_rate(output, reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("the cat sat", "the cat sat down", 1 / 4),
        ("cat the sat", "the cat sat", 2 / 3),
        ("the\ncat", "the cat", 0),
        ("", "the cat", 1),
        ("the cat", "", 2),
        ("", "", 0),
    ],
)
def test_word_error_rate(output, reference, expected):
    score = score_page("1", "page", reference, output)
    assert score.word_errors / max(1, score.words) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [("kitten", "sitting", 4 / 7), ("ab", "abcd", 0.5), ("xyz", "abc", 0), ("", "", 1), ("", "abc", 0), ("abc", "", 0)],
)
def test_normalised_edit_similarity(output, reference, expected):
    assert normalised_edit_similarity(output, reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("a b c d", "a b x", (2 / 4, 2 / 3, 4 / 7)),
        ("a a a b", "a b b", (1, 1, 1)),  # sets: repetition does not count
        ("a", "a b c d", (1, 1 / 4, 2 / 5)),  # one right word: full precision
        ("x", "a", (0, 0, 0)),
        ("", "a b", (0, 0, 0)),
        ("a b", "", (0, 0, 0)),
        ("", "", (1, 1, 1)),
    ],
)
def test_word_precision_recall_f1(output, reference, expected):
    scores = word_precision_recall_f1(output, reference)
    assert isinstance(scores, WordScores)
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("b a", "a b", 1),
        ("a", "a a a b", 1 / 4),  # a word counts as often as it is there
        ("a a a a b c d", "a a b", 1),  # superfluous words cost nothing
        ("a a c", "a a b b", 2 / 4),
        ("A", "a", 0),
        ("", "a b", 0),
        ("a b", "", 1),
        ("", "", 1),
    ],
)
def test_word_overlap(output, reference, expected):
    assert word_overlap(output, reference) == pytest.approx(expected)


def test_overlap_of_one_is_exact_not_rounded():
    reference = " ".join(f"w{i}" for i in range(10_000))
    assert word_overlap(reference, reference) == 1.0
    assert word_overlap(reference.removesuffix(" w9999"), reference) < 1.0


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [(" yes\n", "yes", True), ("Yes", "yes", False), ("a  b", "a b", False), ("", "", True), ("", "a", False)],
)
def test_exact_match(output, reference, expected):
    assert exact_match(output, reference) is expected


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("95", "100", True),  # 5% below: still right
        ("105", "100", True),
        ("94.9", "100", False),
        ("-95", "-100", True),
        ("95", "-100", False),
        ("0.12", "12%", True),
        ("12", "12%", False),  # the published rule reads 12% as 0.12
        ("0", "0", True),
        ("0.01", "0", False),
        ("nan", "5", False),
        ("Blue  Bars", "blue bars", True),
        ("blue", "red", False),
        ("12", "twelve", False),
        ("", "", True),
        ("", "5", False),
        ("5", "", False),
    ],
)
def test_relaxed_accuracy(output, reference, expected):
    assert relaxed_accuracy(output, reference) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("x abababab", 8),
        ("x ababab", 0),  # three repetitions are not a loop
        ("aaaa", 4),
        ("the total the total the total the total ", 40),
        ("aaaa bcb xyxyxyxyx", 9),  # the longer of two repetitions
        ("bababababa", 10),
        ("1111 2222 1111 2222 1111 2222 1111 2222 ", 40),  # the unit is the pair, not its last digits
    ],
)
def test_longest_repetition(text, expected):
    assert longest_repetition(text) == expected


@given(st.text("ab", max_size=20), st.text("abc", min_size=1, max_size=5), st.integers(4, 9))
def test_repetition_is_found_in_any_surroundings(before, unit, times):
    assert (
        len(unit) * times <= longest_repetition(before + unit * times + before) <= len(unit) * times + 2 * len(before)
    )


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("TOTAL 9.00 9.00 9.00 9.00 9.00 9.00", "TOTAL 9.00", True),
        ("TOTAL 9.00 9.00 9.00", "TOTAL 9.00", False),
        ("San 10 San 10 San 10 San 10 S 10 S", "TOTAL", True),  # the end need not be part of it
        ("TOTAL" + "-" * 40, "TOTAL" + "-" * 38, False),  # a rule of dashes that is on the page
        ("TOTAL" + "-" * 80, "TOTAL" + "-" * 38, True),
    ],
)
def test_is_looping(output, reference, expected):
    assert is_looping(output, reference) is expected


COLUMNS = "the first column tells of ships\nand the second one of trains"


@pytest.mark.parametrize(
    ("output", "reference", "errors", "by_order"),
    [
        ("one two three", "one two three", 0, 0),
        ("b a", "a b", 2, 2),  # both letters change places: two substitutions
        ("cc dd\nxy", "xy\ncc dd", 6, 6),  # "xy " to add in front and " xy" to drop at the end
        ("cc ed\nxy", "xy\ncc dd", 6, 5),  # the letter costs one in any order
        ("one two thee", "one two three", 1, 0),
        ("onetwo three", "one two three", 1, 0),  # a lost space is not an order error
        ("", "one two", 7, 0),
        ("one two", "", 7, 0),
        ("the the the", "the cat the", 3, 0),
    ],
)
def test_errors_due_to_order(output, reference, errors, by_order):
    assert Levenshtein.distance(" ".join(output.split()), " ".join(reference.split())) == errors
    assert order_errors(output, reference) == by_order


def test_columns_read_across_are_order_errors():
    across = "the first and the second column tells one of of ships trains"
    assert word_precision_recall_f1(across, COLUMNS).f1 == 1
    assert order_errors(across, COLUMNS) == Levenshtein.distance(across, " ".join(COLUMNS.split()))


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_permuted_words_are_order_errors_only(words, rng):
    shuffled = rng.sample(words, len(words))
    output, reference = " ".join(shuffled), " ".join(words)
    assert order_errors(output, reference) == Levenshtein.distance(output, reference)


@given(st.text("ab ", max_size=20), st.text("ab ", max_size=20))
def test_order_errors_are_at_most_all_errors(output, reference):
    output, reference = " ".join(output.split()), " ".join(reference.split())
    assert 0 <= order_errors(output, reference) <= Levenshtein.distance(output, reference)


def test_amounts_dates_and_codes_of_a_receipt():
    text = "Invoice INV-2031, 12 Mar 2025 08:47 (2025-03-12)\nTel 555 0142\n2 Flat white $7.60 TOTAL: 1,234.50 EUR, 12%"
    assert find_values(text) == {
        "amounts": ["7.60", "1,234.50"],
        "dates": ["12 mar 2025", "2025-03-12"],
        "codes": ["INV-2031", "08:47", "0142"],
    }
    assert find_values("Due March 3, 2026 or 3/4/26; 1'234'567.80 and 11111.") == {
        "amounts": ["1'234'567.80"],
        "dates": ["march 3, 2026", "3/4/26"],
        "codes": ["11111"],
    }


def test_value_with_one_wrong_digit_is_wrong():
    reference = "A 9.00 9.00 1.50 on 12.03.2025 code X1234"
    assert values_right("code X1234 1.50 9.00 A on 12.08.2025 8.00", reference) == {
        "amounts": (2, 3),  # 9.00 is in the reference twice and was read once
        "dates": (0, 1),
        "codes": (1, 1),
    }
    assert values_right("9.00", "") == {"amounts": (0, 0), "dates": (0, 0), "codes": (0, 0)}
