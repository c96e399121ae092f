"""Attention to the image: it equals that of the model, and lines of text are matched with detected lines."""

from itertools import combinations

import pytest
import torch
from helpers.tiny_model import IMAGE, tiny_model
from hypothesis import given
from hypothesis import strategies as st

from nanochat import gpt
from nanochat.engine.attended import attended_box, line_attention, picture_attention
from nanochat.engine.placing import lines_of_ink
from nanochat.image_process import ImageViews
from nanochat.modes import ImageLayout


def test_attention_equals_that_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    layout = ImageLayout((128, 192))
    views = ImageViews(layout, torch.rand(3, 128, 192))
    prompt, answer = [1, *[IMAGE] * layout.n_tokens, 5, 6], [7, 8, 9]
    seen: list[torch.Tensor] = []
    real = gpt.attend

    def attend(q, k, v, mask=None, causal=False):
        scores = q @ k.repeat_interleave(q.size(1) // k.size(1), 1).transpose(-2, -1) * q.size(-1) ** -0.5
        seen.append(scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf).softmax(-1)[0])
        return real(q, k, v, mask, causal)

    monkeypatch.setattr(gpt, "attend", attend)
    found = picture_attention(model, prompt, answer, views)
    weights = torch.stack(seen).mean((0, 1))  # (T, T) over layers and heads
    pictures = [1 + r * 4 + c for r in range(2) for c in range(3)]  # the fourth of each row ends it
    askers = [len(prompt) - 1 + i for i in range(3)]
    assert torch.allclose(found, weights[askers][:, pictures], atol=1e-6)
    assert not any(module._forward_hooks for module in model.modules())


def test_places_that_all_lines_attend_to_are_discounted() -> None:
    attention = torch.tensor([[0.9, 0.1, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0], [0.9, 0.0, 0.0, 0.1]])
    shares = line_attention(attention, [[0, 1], [2]])
    assert torch.allclose(shares.sum(1), torch.ones(2))
    assert shares[1, 3] / shares[1, 0] > 1.9 * attention[2, 3] / attention[2, 0]


def test_box_is_around_the_places_with_most_attention() -> None:
    places = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20], [10, 10, 20, 20]])
    assert attended_box(torch.tensor([0.4, 0.3, 0.15, 0.15]), places) == (0, 0, 20, 10)
    assert attended_box(torch.tensor([0.1, 0.0, 0.0, 0.9]), places) == (10, 10, 20, 20)


PLACES = torch.tensor([[0.0, 10 * i, 100, 10 * i + 10] for i in range(6)])


def test_omitted_line_leaves_a_detected_line_unmatched() -> None:
    ink = [(0, 10 * i + 2, 90, 10 * i + 9) for i in range(6)]
    read = [0, 1, 3, 5]
    shares = torch.eye(6)[read]
    assert lines_of_ink(shares, PLACES, ink, ["word"] * 4, [4.0] * 6) == read
    assert lines_of_ink(shares, PLACES, [], ["word"] * 4, []) == [None] * 4
    nowhere = torch.full((4, 6), 1 / 6)
    assert lines_of_ink(nowhere, PLACES, ink, ["a", "bb" * 9, "cc" * 9, "d"], [1, 18, 1, 18, 5, 1]) == [0, 1, 3, 5]


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
    found = [(i, j) for i, j in enumerate(lines_of_ink(shares, PLACES, ink, texts, room)) if j is not None]
    assert worth(found) == pytest.approx(best, abs=1e-5)
    assert [j for _, j in found] == sorted({j for _, j in found})
