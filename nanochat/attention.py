"""Attention of queries over keys and values by the quickest way this device has; the result is the same by each."""

import importlib.util
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# On a CPU the fused kernel's backward pass in bfloat16 is slow: 64 x 8 heads, 17 positions, forward and backward,
# 33 ms fused and 2.4 ms explicit; 50 positions 73 and 10; 300 positions of 8 x 8 heads 88 and 56; 600 even.
EXPLICIT_POSITIONS = 512


def explicit_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Attention through the whole matrix of scores, its softmax in float32; arguments as in `attend`, equal heads."""
    B, H, T, D = q.shape
    S = k.shape[2]
    bias = q.new_zeros(1, 1, 1)
    if causal:
        bias = q.new_full((T, S), -torch.inf).triu(S - T + 1)[None]
    elif mask is not None:
        bias = q.new_zeros(()).masked_fill(~mask, -torch.inf).expand(B, H, T, S).flatten(0, 1)
    q, k, v = (x.reshape(B * H, -1, D) for x in (q, k, v))
    scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=D**-0.5)
    return torch.bmm(scores.softmax(-1, dtype=torch.float32).to(v.dtype), v).view(B, H, T, D)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """softmax(q k^T / sqrt(D)) v: q (B, H, T, D), k and v (B, H_kv, S, D) with H a multiple of H_kv -> (B, H, T, D).

    `mask`, bool (..., T, S), True where a query may attend; `causal`: up to its own position, the last being the same
    for queries and keys. Any float dtype. Explicit where a gradient in bfloat16 on a CPU asks for it, else fused.
    """
    grouped = bool(q.shape[1] != k.shape[1])  # in an exported graph shapes are tensors
    if grouped and torch.onnx.is_in_onnx_export():  # whose operators have no groups
        k, v = (x.repeat_interleave(int(q.shape[1] // k.shape[1]), dim=1) for x in (k, v))
        grouped = False
    if q.device.type == "cpu" and torch.is_grad_enabled() and not grouped and k.shape[2] <= EXPLICIT_POSITIONS:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else q.dtype
        if dtype == torch.bfloat16:
            return explicit_attention(q, k, v, mask, causal)
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=grouped)


def attend_documents(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """Causal attention within each of the documents of `lengths` that lie end to end: `attend`'s shapes, T their sum.

    By one kernel where there is one, else by one call a document: a mask over all of them would cost
    (sum of lengths)^2 where sum of (lengths^2) is asked for.
    """
    device = q.device
    dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else q.dtype
    if q.shape[1] == k.shape[1] and has_varlen(device, dtype):
        return attend_varlen(q.to(dtype), k.to(dtype), v.to(dtype), lengths)
    return attend_each(q, k, v, lengths)


def attend_each(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """`attend_documents` by one call a document."""
    documents = zip(q.split(lengths, dim=2), k.split(lengths, dim=2), v.split(lengths, dim=2))
    return torch.cat([attend(q, k, v, causal=True) for q, k, v in documents], dim=2)


@cache
def has_varlen(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch has a kernel over documents of any lengths: in half precision, on GPUs from Ampere on."""
    half = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    known = half and importlib.util.find_spec("torch.nn.attention.varlen") is not None  # torch 2.10 and newer
    return known and torch.cuda.get_device_capability(device) >= (8, 0)


@lru_cache(maxsize=1)
def _bounds(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Where documents begin and the last one ends, int32 (N + 1,): made once for all layers."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


def attend_varlen(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """`attend_documents` by one kernel, torch.nn.attention.varlen's: equal heads, one dtype that it knows."""
    from torch.nn.attention.varlen import varlen_attn

    bounds, longest = _bounds(tuple(lengths), q.device), max(lengths)
    q, k, v = (x[0].transpose(0, 1) for x in (q, k, v))  # (T, H, D)
    # each attends to all before it, and to none after it
    y: Any = varlen_attn(q, k, v, bounds, bounds, longest, longest, window_size=(-1, 0))
    return y.transpose(0, 1)[None]
