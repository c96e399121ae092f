"""Loops of every period are detected and their first copy kept; tables of equal rows and other text are no loops."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat.engine.loops import COPIES, EVERY, PAGE_ROWS, LoopGuard
from nanochat.tokenizer import RustBPETokenizer

TOKENIZER = RustBPETokenizer.characters()
GUARD = LoopGuard(TOKENIZER)
LETTERS = [*range(97, 123)]


def follow(tokens: list[int], rows: int | None = None) -> tuple[int, int] | None:
    """(number of tokens when the loop was detected, how many of them are kept)."""
    watch = GUARD.watch(rows)
    for n, token in enumerate(tokens, start=1):
        watch.add(token)
        if (keep := watch.loop()) is not None:
            return n, keep
    return None


def kept(text: str, rows: int | None = None) -> str | None:
    tokens = TOKENIZER.encode(text)
    found = follow(tokens, rows)
    return None if found is None else TOKENIZER.decode(tokens[: found[1]])


@pytest.mark.parametrize("period", [*range(1, 20), 37, 64, 99, 150, 199, 200])
def test_loop_of_any_period_keeps_its_first_copy(period: int) -> None:
    draw = random.Random(period)
    before, unit = draw.choices(LETTERS, k=60), draw.choices(LETTERS, k=period)
    before[-1] = 65  # differs from the end of the unit, so that the loop begins with its text
    found = follow(before + unit * (2000 // period))
    assert found is not None
    noticed, keep = found
    assert keep == 60 + period
    assert noticed - 60 <= max(512, (COPIES - 1) * period + period) + EVERY


def test_longer_period_is_not_detected() -> None:
    unit = random.Random(0).choices(LETTERS, k=230)
    assert follow(unit * 8) is None


@pytest.mark.parametrize(
    "row",
    ["| | | |\n", "| 0.00 | 0.00 | 0.00 |\n", "<tr><td>0</td><td></td><td></td></tr>", "- none\n", "\n",
     "| 12 May | Widget, large | 4 | 12.50 | 50.00 | none |\n"],
)  # fmt: skip
def test_tables_of_equal_rows_are_not_loops(row: str) -> None:
    assert kept("head\n" + row * 50 + "\nsum") is None
    assert kept("head\n" + row * 3 * PAGE_ROWS) in ("head\n" + row, "head\n" + row[:-1], "head\n")


def test_known_number_of_rows_is_the_limit() -> None:
    row = "| 0 | 0 |\n"
    assert kept("head:" + row * 50, rows=52) is None
    assert kept("head:" + row * 50, rows=20) == "head:" + row


def test_rows_that_only_count_up_are_a_loop() -> None:
    assert kept("List\n\n" + "".join(f"{i}. The item\n" for i in range(1, 50))) is None
    counted = kept("List:" + "".join(f"{i}. The item\n" for i in range(7, 400)))
    assert counted == "List:7. The item\n"
    draw = random.Random(1)
    assert kept("".join(f"{draw.randrange(1000)}. The item\n" for _ in range(400))) is None  # any numbers
    assert kept("".join(f"{i}. {draw.choice('abcdefgh')}\n" for i in range(400))) is None  # other text


def test_dotted_line_is_not_a_loop_but_endless_digits_are() -> None:
    assert kept("Chapter 1 " + "." * 200 + " 17\n" + "_" * 150 + "\n") is None
    assert kept("Total " + "0" * 2000) is not None
    assert kept("Total " + "1234567" * 400) is not None
    assert kept("".join(f"{i}, " for i in range(2000))) == "0, "


def test_ordinary_text_is_not_a_loop() -> None:
    draw = random.Random(2)
    words = ["invoice", "total", "of", "the", "page", "12", "3.50", "and", "paid", "\n", "|"]
    for _ in range(20):
        assert kept(" ".join(draw.choices(words, k=400))) is None
    assert follow(draw.choices(range(256), k=3000)) is None
    assert follow(draw.choices([48, 49], k=3000)) is None


def test_shorter_loops_count_at_the_length_limit() -> None:
    watch = GUARD.watch()
    for token in TOKENIZER.encode("Text. " + "again " * 25):  # 150 tokens
        watch.add(token)
    assert watch.loop() is None
    assert watch.loop(at_limit=True) == len("Text. again ") - 1  # the space before it belongs to the first copy


def test_numbers_of_several_tokens() -> None:
    """With tokens of two digits, numbers still count as one symbol."""
    words = "1. The item is here and the total is 12 13 14 15 16 17 18 19 20 " * 30
    tokenizer = RustBPETokenizer.train_from_iterator([words], 320)
    assert tokenizer.encode("1213") != TOKENIZER.encode("1213")
    tokens = tokenizer.encode("List:" + "".join(f"{i}. The item\n" for i in range(95, 600)))
    watch = LoopGuard(tokenizer).watch()
    for token in tokens:
        watch.add(token)
        if (keep := watch.loop()) is not None:
            break
    assert keep is not None and tokenizer.decode(tokens[:keep]) == "List:95. The item\n"


@given(st.lists(st.integers(96, 99), max_size=120), st.integers(1, 30), st.integers(0, 10))
def test_tokens_removed_by_a_loop_were_never_settled(before: list[int], period: int, seed: int) -> None:
    """The text shown while the answer grows is kept in the end."""
    tokens = before + random.Random(seed).choices([97, 98, 10], k=period) * 700
    watch, shown = GUARD.watch(), 0
    for n, token in enumerate(tokens, start=1):
        watch.add(token)
        assert 0 <= watch.repeated <= n
        if (keep := watch.loop()) is not None:
            assert shown <= keep
            return
        shown = max(shown, n - watch.repeated)
    pytest.fail("the loop was not noticed")
