"""Scaled dot-product attention by the fastest method on this device; the result does not depend on the method."""

import importlib.util
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# On a CPU the fused kernel's backward pass in bfloat16 is slow. Forward and backward, fused and explicit: 33 and 2.4 ms
# for 17 positions of 64 x 8 heads; 73 and 10 ms for 50; 88 and 56 ms for 300 positions of 8 x 8 heads; equal for 600.
EXPLICIT_POSITIONS = 512


def explicit_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Attention with the full score matrix and float32 softmax; arguments as in `attend`, without grouped heads."""
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

    `mask`: bool (..., T, S), True where a query may attend. `causal`: each query attends up to its own position, with
    the last query at the last key. Any float dtype. Fused, except for short sequences trained in bfloat16 on a CPU.
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
    """Causal attention within each of the documents packed end to end; shapes as in `attend`, T the sum of `lengths`.

    Uses one kernel if the device has it, else one call per document. A mask over the whole row would cost
    (sum of lengths)^2 instead of sum of (lengths^2).
    """
    device = q.device
    dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else q.dtype
    if q.shape[1] == k.shape[1] and has_varlen(device, dtype):
        return attend_varlen(q.to(dtype), k.to(dtype), v.to(dtype), lengths)
    return attend_each(q, k, v, lengths)


def attend_each(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """`attend_documents` with one call per document."""
    documents = zip(q.split(lengths, dim=2), k.split(lengths, dim=2), v.split(lengths, dim=2))
    return torch.cat([attend(q, k, v, causal=True) for q, k, v in documents], dim=2)


@cache
def has_varlen(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch has a variable-length attention kernel: in half precision, on GPUs since Ampere."""
    half = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    known = half and importlib.util.find_spec("torch.nn.attention.varlen") is not None  # torch 2.10 and newer
    return known and torch.cuda.get_device_capability(device) >= (8, 0)


@lru_cache(maxsize=1)
def _bounds(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Offsets of the documents and the end of the last one, int32 (N + 1,), computed once for all layers."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


def attend_varlen(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """`attend_documents` with the kernel of torch.nn.attention.varlen: no grouped heads, half precision."""
    from torch.nn.attention.varlen import varlen_attn

    bounds, longest = _bounds(tuple(lengths), q.device), max(lengths)
    q, k, v = (x[0].transpose(0, 1) for x in (q, k, v))  # (T, H, D)
    # causal: each position attends to all before it
    y: Any = varlen_attn(q, k, v, bounds, bounds, longest, longest, window_size=(-1, 0))
    return y.transpose(0, 1)[None]
