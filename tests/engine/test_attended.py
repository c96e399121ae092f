"""Attention to the image equals that of the model."""

import pytest
import torch
from helpers.tiny_model import IMAGE, tiny_model

from nanochat import gpt
from nanochat.engine.attended import attended_box, line_attention, picture_attention
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
