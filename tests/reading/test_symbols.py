"""A page with many symbols that the model is unsure of is noted."""

import pytest

from nanochat.reading.ink_audit import Audit
from nanochat.reading.symbols import doubtful_signs, symbols_note


def test_unsure_signs_and_single_characters_are_counted() -> None:
    assert doubtful_signs(list("a * b"), [1, 1, 0.5, 1, 1]) == 1
    assert doubtful_signs(list("a © x"), [1, 1, 0.5, 1, 0.4]) == 2
    assert doubtful_signs(["a", " ś", " b"], [1, 0.2, 1]) == 1
    assert doubtful_signs(list("(a)"), [0.9, 0.3, 0.95]) == 0  # a letter within a word
    assert doubtful_signs(list("12.5, x."), [1, 1, 0.4, 1, 0.4, 1, 1, 0.4]) == 0


def test_only_many_signs_are_noted() -> None:
    assert symbols_note(6, ["x" * 200]).startswith("6 signs are uncertain")
    assert not symbols_note(4, ["x" * 20])
    assert not symbols_note(6, ["x" * 400])


@pytest.mark.parametrize(("words", "verdict"), [(100, "ok"), (40, "missing")])
def test_spaces_of_a_table_of_short_numbers_are_no_missing_text(words: int, verdict: str) -> None:
    assert Audit(370, 206, words).verdict == verdict
