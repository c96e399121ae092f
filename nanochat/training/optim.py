"""Optimizers: AdamW with float32 or 8-bit state, or Muon for the matrices inside the blocks and AdamW for the rest.

torch.optim.Muon always iterates in bfloat16, which some CPUs emulate hundreds of times slower than float32, and it
supports neither convolutions nor fused projections. This implementation uses the dtype that is fast on the machine and
batches matrices of equal shape.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn as nn
from torch import Tensor

from nanochat.errors import extra
from nanochat.training.shard import is_divided, like

OptimizerName = Literal["adamw", "adamw8bit", "muon"]
NS_STEPS = 4
NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic Newton-Schulz iteration [Muon, Jordan 2024]
MUON_LR_RATIO = 4.0  # Muon's learning rate over AdamW's


def orthogonalise(matrices: Tensor) -> Tensor:
    """Approximate the closest semi-orthogonal matrix to each of `matrices` (n, rows, columns), by Newton-Schulz
    iteration.

    Each step multiplies X by p(X X^T) with p(A) = a + bA + cA^2. For wide matrices the polynomials are accumulated on
    the smaller side, rows x rows, and X is multiplied once. The dtype is float32 or bfloat16.
    """
    a, b, c = NS_COEFFICIENTS
    transposed = matrices.size(1) > matrices.size(2)
    x = matrices.transpose(1, 2) if transposed else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    rows, columns = x.shape[1:]
    if columns < 2 * rows:
        for _ in range(NS_STEPS):
            gram = x @ x.transpose(1, 2)
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    else:
        gram = x @ x.transpose(1, 2)
        identity = torch.eye(rows, device=x.device, dtype=x.dtype)
        gathered = identity.expand_as(gram)
        for _ in range(NS_STEPS):
            step = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + a * identity
            gathered = step @ gathered
            gram = step @ gram @ step
        x = gathered @ x
    return x.transpose(1, 2) if transposed else x


class Muon(torch.optim.Optimizer):
    """SGD with momentum and orthogonalised updates of size 0.2 sqrt(max(rows, columns)) lr, similar to AdamW's.

    Source: Moonlight (arXiv:2502.16982). `matrices` of a parameter group is the number of matrices stacked in each
    parameter (3 in a fused qkv); convolutions are flattened to (out, in x kernel). The iteration runs in `dtype`;
    momentum and weights keep their own dtype.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, dtype: torch.dtype = torch.float32) -> None:
        """`lr`: learning rate. `dtype`: of the iteration, float32 or bfloat16."""
        super().__init__(params, {"lr": lr, "momentum": 0.95, "matrices": 1})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                momentum = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(momentum, group["momentum"])  # Nesterov
                if is_divided(update):  # each process orthogonalises the whole matrix
                    update = update.full_tensor()  # type: ignore[attr-defined]
                update = update.reshape(group["matrices"], p.size(0) // group["matrices"], -1)
                by_shape[update.shape].append((p, update))
            for shape, members in by_shape.items():
                stacked = torch.cat([update for _, update in members])
                stacked = stacked / (stacked.norm(dim=(1, 2), keepdim=True) + 1e-7)  # before a cast to less range
                updates = orthogonalise(stacked.to(self.dtype)).to(stacked.dtype).split(shape[0])
                scale = 0.2 * max(shape[1:]) ** 0.5
                for (p, _), update in zip(members, updates):
                    p.add_(like(update.reshape(p.shape), p), alpha=-group["lr"] * scale)


def _is_inner_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether it is a matrix from features to features: not an embedding, table, readout or the patch embedding."""
    outer = ("wte", "lm_head", "embed", "rel_pos", "dense")
    return parameter.ndim >= 2 and not any(word in name for word in outer)


def _adamw(
    params: list[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def _adamw8bit(
    params: list[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW with its two averages in 8 bits, scaled in blocks of 256; small tensors keep float32 [bitsandbytes]."""
    with extra("low-memory"):
        from bitsandbytes.optim import AdamW8bit
    return AdamW8bit(params, lr=lr, betas=betas, weight_decay=weight_decay)


def build_optimizers(
    model: nn.Module, kind: OptimizerName, lr: float, weight_decay: float = 0.0, muon_dtype: torch.dtype = torch.float32
) -> list[torch.optim.Optimizer]:
    """AdamW (`adamw`, `adamw8bit`), or Muon at MUON_LR_RATIO x lr for inner matrices and AdamW for the rest (`muon`).

    Each group stores its learning rate as `initial_lr`, which a schedule multiplies. Frozen parameters are left out.
    Raises UserError if a library is missing.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    inner = [(name, p) for name, p in named if kind == "muon" and _is_inner_matrix(name, p)]
    chosen = {id(p) for _, p in inner}
    rest = [p for _, p in named if id(p) not in chosen]
    betas = (0.9, 0.98) if kind == "muon" else (0.9, 0.95)
    build = _adamw8bit if kind == "adamw8bit" else _adamw
    optimizers = [build(rest, lr, betas, weight_decay)]
    if inner:
        muon = Muon([p for name, p in inner if "qkv" not in name], lr * MUON_LR_RATIO, dtype=muon_dtype)
        fused = [p for name, p in inner if "qkv" in name]
        if fused:
            muon.add_param_group({"params": fused, "matrices": 3})
        optimizers.append(muon)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers
