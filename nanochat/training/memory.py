"""Prediction of the memory of a training step, without the device and without allocating it.

The step runs on tensors that have shapes but no values, and every storage is counted from its creation to its release.
A CPU is simulated with torch's fake tensors, which take the code paths of a CPU. A GPU is simulated with meta tensors,
which take the other paths, and replacements where CUDA differs: fused attention, which stores no scores, and autocast's
lists of functions that run in bfloat16 and in float32 [torch, ATen/autocast_mode.h].
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any, Literal

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from nanochat.deepencoder.dense import CELL_LINES, LINE_CHARS, PATCH, SLOT_COLUMNS, SLOT_ROWS, DenseHead
from nanochat.errors import UserError
from nanochat.gpt import token_losses
from nanochat.nano_deepseek_ocr import ModelConfig, NanoDeepseekOCR
from nanochat.training.config import TrainConfig
from nanochat.training.learner import Objective
from nanochat.training.optim import OptimizerName, build_optimizers
from nanochat.training.recompute import Recompute, recompute_blocks

GB = 1e9
BLOCK = {
    "cuda": 512,
    "cpu": 64,
}  # multiples of bytes to which the allocator rounds up [torch, CUDACachingAllocator and CPU alignment]
RESERVE = 0.08  # share of a GPU reserved for fragmentation, CUDA's context and workspaces of kernels

# Functions that the model calls, by the dtype in which CUDA's autocast runs them: bfloat16 or float32.
LOW = ((F, "linear"), (F, "conv2d"), (torch, "bmm"), (torch, "baddbmm"), (torch, "einsum"))
HIGH = ((F, "layer_norm"), (F, "rms_norm"), (F, "cross_entropy"))


class _FusedAttention(torch.autograd.Function):
    """Memory use of fused attention kernels: output and one float32 per query are stored, scores never exist."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out, logsumexp = torch.empty_like(q), q.new_empty(q.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, logsumexp)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, _, logsumexp = ctx.saved_tensors
        torch.empty_like(logsumexp)  # the row sums of gradient times output
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


@contextmanager
def _like_cuda(bf16: bool) -> Iterator[None]:
    """Autocast to bfloat16 and fused attention for meta tensors, which torch's own autocast does not support.

    Functions are replaced, because a dispatch mode would not affect recomputation in a checkpointed region.
    """
    weights: dict[int, tuple[Tensor, Tensor]] = {}  # each weight is cast once and kept for the forward pass

    def to(dtype: torch.dtype, x: Tensor) -> Tensor:
        if not bf16 or not x.is_floating_point() or x.dtype == dtype:
            return x
        if not (isinstance(x, nn.Parameter) and x.requires_grad):
            return x.to(dtype)
        return weights.setdefault(id(x), (x, x.to(dtype)))[1]

    def recast(function: Callable, dtype: torch.dtype) -> Callable:
        return lambda *args, **kwargs: function(*tree_map_only(Tensor, partial(to, dtype), args), **kwargs)

    def attention(q: Tensor, k: Tensor, v: Tensor, *args, **kwargs) -> Tensor:
        return _FusedAttention.apply(*(to(torch.bfloat16, x) for x in (q, k, v)))

    replaced = {(F, "scaled_dot_product_attention"): attention}
    for functions, dtype in ((LOW, torch.bfloat16), (HIGH, torch.float32)):
        replaced |= {(where, name): recast(getattr(where, name), dtype) for where, name in functions}
    before = {(where, name): getattr(where, name) for where, name in replaced}
    try:
        for (where, name), function in replaced.items():
            setattr(where, name, function)
        yield
    finally:
        for (where, name), function in before.items():
            setattr(where, name, function)


class StorageCount(TorchDispatchMode):
    """Bytes of all live storages that were created under this mode or passed to `include`, and their peak."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block, self.live, self.peak, self.phase, self.at_peak = block, 0, 0, "", ""
        self._known: dict[int, weakref.ref] = {}

    def include(self, x: Tensor) -> None:
        """Count a tensor's storage, once."""
        storage = x.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = -(-storage.nbytes() // self.block) * self.block

        def forget(_: object) -> None:
            self._known.pop(key, None)
            self.live -= size

        self._known[key] = weakref.ref(storage, forget)
        self.live += size
        if self.live > self.peak:
            self.peak, self.at_peak = self.live, self.phase

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in tree_flatten(result)[0]:
            if isinstance(x, Tensor):
                self.include(x)
        return result


@dataclass(frozen=True)
class StepShape:
    """Properties of a training step that determine its memory. Each row has a page of `image_size` and text."""

    stage: Literal[1, 2] = 1
    batch_size: int = 1
    seq_len: int = 4096
    image_size: int = 1024
    optimizer: OptimizerName = "adamw"
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    dense: bool = False
    """with the head for dense labels, as in training on synthetic documents"""
    recompute: Recompute = "none"
    """blocks that the backward pass recomputes"""


@dataclass
class MemoryReport:
    """Memory of one process, in bytes."""

    device: str
    peak: int
    at: str
    """the phase of the step with the peak"""
    parts: dict[str, int] = field(default_factory=dict)
    """weights, gradients, optimizer, and activations that each part of the forward pass stores for the backward pass"""

    def fits(self, capacity: float) -> bool:
        """Whether it fits a GPU of `capacity` bytes, including the reserve."""
        return self.peak <= capacity * (1 - RESERVE)


def _shapes_only(device: str) -> AbstractContextManager:
    """Context in which new tensors have no values and behave as on `device`."""
    return FakeTensorMode() if device == "cpu" else torch.device("meta")


def _autocast(device: str, bf16: bool) -> AbstractContextManager:
    return _like_cuda(bf16) if device == "cuda" else torch.autocast("cpu", torch.bfloat16, enabled=bf16)


def _adamw_state(p: Tensor, eight_bits: bool) -> dict[str, Tensor]:
    """The optimizer state after a step of AdamW: two averages of each parameter.

    With 8 bits, one byte each and a float32 per 256; tensors with fewer than 4,096 elements stay float32
    [bitsandbytes].
    """
    if not eight_bits or p.numel() < 4096:
        return {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
    state = {f"state{i}": torch.zeros_like(p, dtype=torch.uint8) for i in (1, 2)}
    return {**state, **{f"absmax{i}": p.new_zeros(-(-p.numel() // 256), dtype=torch.float32) for i in (1, 2)}}


class _Step:
    """One training step on tensors without values, as `Trainer.train_step` runs it."""

    def __init__(self, config: ModelConfig, shape: StepShape, device: str, count: StorageCount) -> None:
        self.shape, self.device, self.count = shape, device, count
        model = NanoDeepseekOCR(config)
        if shape.stage == 2:
            model.freeze_sam()
        recompute_blocks(model, shape.recompute)
        dense = None
        if shape.dense:
            dense = DenseHead(model.sam_model, model.projector, config.gpt.n_embd)
        self.objective = Objective(model, dense).train()
        # 8-bit AdamW differs only in its state: see `run`
        kind: OptimizerName = "muon" if shape.optimizer == "muon" else "adamw"
        self.optimizers = build_optimizers(self.objective, kind, 1e-3)
        B, side = shape.batch_size, shape.image_size
        self.pixels = torch.empty(B, 3, side, side)
        self.ids = torch.zeros(B, shape.seq_len, dtype=torch.long)
        layout = config.vision.layout(side, side)
        self.n_text = B * max(1, shape.seq_len - layout.n_tokens)
        self.labels = {
            "patches": torch.zeros(B * (side // PATCH) ** 2, SLOT_ROWS * SLOT_COLUMNS, dtype=torch.long),
            "cells": torch.zeros(B * prod(layout.view_rows), CELL_LINES * LINE_CHARS, dtype=torch.long),
        }

    def forward(self, kept: dict[str, int]) -> Tensor:
        """The loss of the step; `kept` gets the bytes that stay allocated after each part."""
        model, count = self.objective.model, self.count

        def lap(name: str, before: int) -> int:
            kept[name] = count.live - before
            return count.live

        count.phase, live = "encoder forward", count.live
        seen = torch.cat(model.encode_images(self.pixels))
        live = lap("encoder", live)
        count.phase = "GPT forward"
        embeds = model.gpt.embed(self.ids)
        embeds = embeds.masked_scatter((self.ids == 1)[..., None], seen.to(embeds.dtype))
        hidden = model.gpt.hidden(embeds)
        live = lap("GPT", live)
        count.phase = "loss"
        chosen = hidden.flatten(0, 1).index_select(0, torch.zeros(self.n_text, dtype=torch.long))
        targets = torch.zeros(self.n_text, dtype=torch.long)
        loss = token_losses(chosen, model.gpt.lm_head.weight, targets).sum() / self.n_text
        if self.objective.dense is not None:
            loss = loss + sum(self.objective.dense(self.labels).values())
        lap("loss", live)
        return loss

    def run(self) -> dict[str, int]:
        """Run forward pass, backward pass and optimizers. Returns the bytes that the forward pass stored, by part."""
        kept: dict[str, int] = {}
        bf16 = self.shape.precision == "bfloat16"
        with _autocast(self.device, bf16):
            loss = self.forward(kept)
        self.count.phase = "backward"
        with _like_cuda(bf16) if self.device == "cuda" else nullcontext():  # torch's own autocast handles recomputation
            loss.backward()
        self.count.phase = "optimizer"
        del loss
        for optimizer in self.optimizers:
            if isinstance(optimizer, torch.optim.AdamW):
                for p in (p for group in optimizer.param_groups for p in group["params"]):
                    if p.grad is not None and not optimizer.state[p]:
                        optimizer.state[p] = _adamw_state(p, self.shape.optimizer == "adamw8bit")
            else:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return kept


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


def predict(config: ModelConfig, shape: StepShape, device: Literal["cpu", "cuda"]) -> MemoryReport:
    """Peak memory of a process that trains with `shape` on `device`, from the second step on.

    Raises UserError if the page takes more tokens than `seq_len`.
    """
    if config.vision.layout(shape.image_size, shape.image_size).n_tokens >= shape.seq_len:
        raise UserError(f"a page of {shape.image_size} pixels needs more than seq_len = {shape.seq_len} tokens")
    with _shapes_only(device), StorageCount(BLOCK[device]) as count:
        step = _Step(config, shape, device, count)
        for x in (*step.objective.parameters(), *step.objective.buffers()):
            count.include(x)
        step.run()  # creates the state of the optimizers
        count.peak = 0
        kept = step.run()
        weights = _bytes([*step.objective.parameters(), *step.objective.buffers()])
        trained = _bytes(p for p in step.objective.parameters() if p.requires_grad)
        states = [x for o in step.optimizers for state in o.state.values() for x in state.values()]
        parts = {"weights": weights, "gradients": trained, "optimizer": _bytes(states), **kept}
        return MemoryReport(device, count.peak, count.at_peak, parts)


def largest_batch(config: ModelConfig, shape: StepShape, capacity: float) -> int:
    """The largest batch size whose predicted peak fits a GPU of `capacity` bytes. Raises UserError if 1 does not."""

    def predicted(batch: int) -> MemoryReport:
        return predict(config, replace(shape, batch_size=batch), "cuda")

    one = predicted(1)
    if not one.fits(capacity):
        raise UserError(f"not even one sample of {shape.seq_len} tokens fits {capacity / GB:.0f} GB: lower --seq-len")
    a_sample = max(1, predicted(2).peak - one.peak)  # each further sample needs about this much
    batch = max(1, 1 + int((capacity * (1 - RESERVE) - one.peak) / a_sample))
    while batch > 1 and not predicted(batch).fits(capacity):
        batch -= 1
    return batch


def fitting_batch(
    config: TrainConfig, model: ModelConfig, stage: Literal[1, 2], capacity: float, world_size: int, dense: bool = False
) -> int:
    """The largest batch size whose training step fits a GPU of `capacity` bytes, for `auto_batch`.

    If `total_batch_size` is set, the batch size divides it among `world_size` processes. `dense`: with the head for
    dense labels. Raises UserError if not even one sample fits, or if a step has no whole number of samples per process.
    """
    if config.total_batch_size % world_size:
        raise UserError(f"--total-batch-size={config.total_batch_size} is not a multiple of {world_size} processes")
    shape = StepShape(
        stage, 1, config.seq_len, model.vision.image_size, config.optimizer,
        "bfloat16" if config.precision in ("default", "auto", "bfloat16") else "float32", dense, config.recompute,
    )  # fmt: skip
    batch = largest_batch(model, shape, capacity)
    if config.total_batch_size:
        batch = min(batch, config.total_batch_size // world_size)
        while config.total_batch_size % (batch * world_size):
            batch -= 1
    return batch
