"""Constraints on the next token, compared with a direct implementation of their definition."""

from hypothesis import given
from hypothesis import strategies as st

from nanochat.engine.constraints import Forbid, NoRepeatNgram


def test_token_is_forbidden_at_one_position_only() -> None:
    forbid = Forbid(token=7, place=2)
    assert [list(forbid.banned(range(n))) for n in range(4)] == [[], [], [7], []]


@given(
    st.lists(st.integers(0, 2), max_size=40), st.integers(1, 4), st.integers(4, 12), st.frozensets(st.integers(0, 2))
)
def test_no_run_of_tokens_occurs_twice_in_the_window(
    tokens: list[int], size: int, window: int, allowed: frozenset[int]
) -> None:
    """A token is banned if the run that it would complete is within the last `window` tokens."""
    recent = tokens[-window:]
    runs = {tuple(recent[i : i + size]) for i in range(len(recent) - size + 1)}
    completed = {
        token for token in range(3) if (*(tokens[len(tokens) - size + 1 :] if size > 1 else []), token) in runs
    }
    expected = completed - allowed if len(tokens) >= size else set()
    assert set(NoRepeatNgram(size, window, allowed).banned(tokens)) == expected


def test_published_size_and_window() -> None:
    """30 within 90: a unit of 60 tokens is stopped in its second copy, one of 62 lies too far back."""
    rule = NoRepeatNgram()
    for period, stopped in ((40, True), (60, True), (62, False)):
        unit = list(range(period))
        assert set(rule.banned(unit + unit[:29])) == ({29} if stopped else set())
        assert not rule.banned(unit + unit[:28])
