"""Attention: all paths agree, and each is used in the right case."""

import inspect

import pytest
import torch
import torch.nn.functional as F

from nanochat import attention
from nanochat.attention import attend, attend_documents, attend_varlen, explicit_attention, has_varlen


def random_heads(T: int, S: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(T * 100 + S)
    return [torch.randn(2, 3, n, 8, generator=generator).to(dtype).requires_grad_() for n in (T, S, S)]


@pytest.mark.parametrize("kind", ["full", "causal", "mask"])
@pytest.mark.parametrize("T", [1, 7, 33])
def test_explicit_equals_fused_attention(kind: str, T: int):
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


def test_bfloat16_gradients_on_a_cpu_use_the_explicit_path(monkeypatch):
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


def test_explicit_bfloat16_is_as_accurate_as_fused():
    q, k, v = random_heads(40, 40, torch.bfloat16)
    truth = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=True)
    explicit = (explicit_attention(q, k, v, None, True).double() - truth).norm()
    fused = (F.scaled_dot_product_attention(q, k, v, is_causal=True).double() - truth).norm()
    assert explicit < 2 * fused


def varlen_by_its_description(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, window_size):
    """The function of torch.nn.attention.varlen, which runs on GPUs only, by its documentation; (T, H, D)."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32 and cu_seq_q[-1] == len(query)
    assert (max_q, max_k) == (int(cu_seq_q.diff().max()), int(cu_seq_k.diff().max()))
    left, right = window_size
    out = []
    for start, end in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist()):
        offset = torch.arange(end - start)[None] - torch.arange(end - start)[:, None]  # offset of a key from its query
        seen = ((offset >= -left) | (left < 0)) & ((offset <= right) | (right < 0))
        scores = torch.einsum("qhd,khd->hqk", query[start:end], key[start:end]) / query.size(-1) ** 0.5
        out.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), value[start:end]))
    return torch.cat(out)


def test_varlen_kernel_gets_the_packed_documents(monkeypatch):
    from torch.nn.attention import varlen

    signature = inspect.signature(varlen.varlen_attn)

    def kernel(*args, **kwargs):
        signature.bind(*args, **kwargs)  # the signature in this version of torch
        return varlen_by_its_description(*args, **kwargs)

    monkeypatch.setattr(varlen, "varlen_attn", kernel)
    lengths, found = [5, 1, 17, 8], []
    for way in (attend_varlen, attend_documents):
        q, k, v = (x.detach()[:1].requires_grad_() for x in random_heads(31, 31))
        y = way(q, k, v, lengths)
        y.square().sum().backward()
        found.append([y, q.grad, k.grad, v.grad])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_varlen_kernel_is_used_in_half_precision_on_a_gpu_only(monkeypatch):
    assert not has_varlen(torch.device("cpu"), torch.bfloat16)
    taken = []
    monkeypatch.setattr(attention, "has_varlen", lambda device, dtype: dtype == torch.bfloat16)
    monkeypatch.setattr(attention, "attend_varlen", lambda q, k, v, lengths: taken.append((q.dtype, lengths)) or q)
    q, k, v = (x.detach()[:1] for x in random_heads(6, 6))
    attend_documents(q, k, v, [4, 2])
    assert not taken
    with torch.autocast("cpu", torch.bfloat16):
        attend_documents(q, k, v, [4, 2])
        attend_documents(q, k[:, :1], v[:, :1], [4, 2])  # grouped heads
    assert taken == [(torch.bfloat16, [4, 2])]
