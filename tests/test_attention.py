"""Attention: the explicit path is the fused one's equal, and is taken where a gradient in bfloat16 on a CPU asks."""

import pytest
import torch
import torch.nn.functional as F

from nanochat import attention
from nanochat.attention import attend, explicit_attention


def random_heads(T: int, S: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(T * 100 + S)
    return [torch.randn(2, 3, n, 8, generator=generator).to(dtype).requires_grad_() for n in (T, S, S)]


@pytest.mark.parametrize("kind", ["full", "causal", "mask"])
@pytest.mark.parametrize("T", [1, 7, 33])
def test_explicit_equals_fused(kind: str, T: int):
    mask = torch.rand(2, 1, T, T, generator=torch.Generator().manual_seed(T)) < 0.5
    mask = (mask | torch.eye(T, dtype=torch.bool)) if kind == "mask" else None
    found = []
    for way in ("explicit", "fused"):
        q, k, v = random_heads(T, T)
        if way == "explicit":
            y = explicit_attention(q, k, v, mask, kind == "causal")
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=kind == "causal")
        y.square().sum().backward()
        found.append([y, q.grad, k.grad, v.grad])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_bfloat16_gradients_on_a_cpu_take_the_explicit_path(monkeypatch):
    taken = []

    def spy(*args):
        taken.append(args[0].shape)
        return explicit_attention(*args)

    monkeypatch.setattr(attention, "explicit_attention", spy)
    attend(*random_heads(5, 5))
    with torch.no_grad():
        attend(*random_heads(5, 5, torch.bfloat16))
    assert not taken
    y = attend(*random_heads(5, 5, torch.bfloat16), causal=True)
    assert len(taken) == 1 and y.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        attend(*random_heads(5, 5))  # in float32, but its products would run in bfloat16
    assert len(taken) == 2


def test_bfloat16_explicit_is_as_near_the_truth_as_fused():
    q, k, v = random_heads(40, 40, torch.bfloat16)
    truth = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=True)
    explicit = (explicit_attention(q, k, v, None, True).double() - truth).norm()
    fused = (F.scaled_dot_product_attention(q, k, v, is_causal=True).double() - truth).norm()
    assert explicit < 2 * fused
