"""The scripts that measure test cases and the values of receipts."""

from pathlib import Path

import pytest

from dev.read_cases import find_cases
from dev.receipt_facts import count_right, occurrences
from nanochat.errors import UserError


def test_values_are_matched_as_whole_words() -> None:
    assert occurrences("6.36", "TOTAL RM6.36 CASH 16.36 6.360 1,6.36 6.36") == 2
    assert occurrences("ABC Sdn Bhd", "abc  SDN\nBHD, ABCD SDN BHDS") == 1
    assert occurrences("", "anything") == 0


def test_receipt_is_right_if_its_value_is_read_as_often_as_printed() -> None:
    fields = {"a": {"company": "ABC", "date": "01/02/2018", "total": "6.36"}, "b": {"total": "5.00", "date": "x"}}
    pages = [
        {"id": "a", "expected": "ABC 01/02/2018 6.36 6.36", "read": "abc 01/02/2018 6.36 6.38"},
        {"id": "b", "expected": "TOTAL 5.00", "read": "TOTAL 5.00"},
    ]
    assert count_right(pages, fields) == {"company": (1, 1), "date": (1, 1), "total": (1, 2)}


def test_expected_text_of_the_same_name_takes_precedence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no case"):
        list(find_cases(tmp_path))
    (tmp_path / "01").mkdir()
    for name in ("a.png", "b.pdf", "expected.txt", "b.expected.txt"):
        (tmp_path / "01" / name).write_text(name)
    assert [(path.name, text) for path, text in find_cases(tmp_path)] == [
        ("a.png", "expected.txt"),
        ("b.pdf", "b.expected.txt"),
    ]
