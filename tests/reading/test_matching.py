"""Lines of an answer are matched in order with detected lines and with the rows of a block."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat.reading.matching import match_lines, match_rows

PLACES = torch.tensor([[0.0, 10 * i, 100, 10 * i + 10] for i in range(6)])


def test_omitted_line_leaves_a_detected_line_unmatched() -> None:
    ink = [(0, 10 * i + 2, 90, 10 * i + 9) for i in range(6)]
    read = [0, 1, 3, 5]
    shares = torch.eye(6)[read]
    assert match_lines(shares, PLACES, ink, ["word"] * 4, [4.0] * 6) == read
    assert match_lines(shares, PLACES, [], ["word"] * 4, []) == [None] * 4
    nowhere = torch.full((4, 6), 1 / 6)
    assert match_lines(nowhere, PLACES, ink, ["a", "bb" * 9, "cc" * 9, "d"], [1, 18, 1, 18, 5, 1]) == [0, 1, 3, 5]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_matching_is_the_best_ordered_one(n: int, m: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    shares = torch.rand(n, 6, generator=draw).softmax(1)
    ink = [(0, 10 * i, 100, 10 * i + 10) for i in range(m)]
    room = (torch.rand(m, generator=draw) * 9 + 1).tolist()
    texts = ["x" * int(k) for k in torch.randint(1, 9, (n,), generator=draw)]

    def worth(pairs) -> float:
        return sum(float(shares[i, j]) + min(len(texts[i]), room[j]) / max(len(texts[i]), room[j]) for i, j in pairs)

    best = max(
        worth(zip(some, others))
        for k in range(1, min(n, m) + 1)
        for some in combinations(range(n), k)
        for others in combinations(range(m), k)
    )
    found = [(i, j) for i, j in enumerate(match_lines(shares, PLACES, ink, texts, room)) if j is not None]
    assert worth(found) == pytest.approx(best, abs=1e-5)
    assert [j for _, j in found] == sorted({j for _, j in found})


def test_rows_of_an_answer_are_matched_if_one_is_missing_or_extra() -> None:
    assert match_rows(["a" * 39, "b" * 11, "c" * 37], [40, 10, 38]) == [0, 1, 2]
    assert match_rows(["a" * 39, "c" * 9], [40, 38, 10]) == [0, 2]
    assert match_rows(["a" * 39, "b", "c" * 9], [40, 10]) == [0, 0, 1]
    assert match_rows([], [40]) == [] and match_rows(["a", "b"], [3]) in ([0, 0],)
