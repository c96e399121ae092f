"""Compare the results of a device, by its fast paths and the plain one, with those of a CPU with the same weights.

Compared are the loss and the gradients of a batch, the updates of the optimizers for equal gradients, and answers.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from dev.bench.train import filled_trainer, flat_stage
from nanochat.engine import Engine
from nanochat.multimodal_dataloader import Batch
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.config import TrainConfig
from nanochat.training.trainer import Trainer


@dataclass
class Parity:
    """Differences of the results of the device from those of a CPU in float32, relative to the latter."""

    device: str
    loss: dict[str, float]
    """of one batch, by way: float32, bfloat16, packed in either; in float32 `recomputed`, `compiled` if requested;
    NaN for a way that failed"""
    gradients: dict[str, float]
    """of all parameters together, by way: |device's - CPU's| / |CPU's|"""
    updates: dict[str, float]
    """of the weight updates of a step on equal gradients in float32, by optimizer; relative norm as above"""
    equal_tokens: float
    """share of equal tokens in greedy answers in float32"""


@contextmanager
def exact_float32() -> Iterator[None]:
    """Context in which a GPU computes products and convolutions in full float32 instead of TF32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def _trainer(model: str, device: torch.device, **settings: Any) -> Trainer:
    shape = {"model": model, "image_size": 128, "batch_size": 4, "seq_len": 64}
    config = TrainConfig(**{**shape, "steps": 1, "num_workers": 0, "precision": "float32", **settings})
    return filled_trainer(config, flat_stage(), device)


def _packed(batch: Batch) -> Batch:
    """The rows of a batch, packed without padding."""
    inputs, targets, media = batch
    lengths = [inputs.size(1)] * inputs.size(0)
    return inputs.view(1, -1), targets.view(1, -1), replace(media, rows=[0] * len(lengths), documents=lengths)


def _loss_and_gradients(trainer: Trainer, batch: Batch) -> tuple[float, torch.Tensor]:
    loss, _ = trainer.learner.forward_backward(batch, 1.0, 1)
    return loss, torch.cat([p.grad.flatten().cpu() for p in trainer.model.parameters() if p.grad is not None])


def _update(trainer: Trainer, gradients: torch.Tensor) -> torch.Tensor:
    """The updates of all weights by a step on these gradients."""
    trained = [p for p in trainer.model.parameters() if p.grad is not None]
    before = torch.cat([p.detach().flatten().cpu() for p in trained])
    for p, gradient in zip(trained, gradients.split([p.numel() for p in trained])):
        p.grad = gradient.view(p.shape).to(p.device, copy=True)  # a copy, because it is clipped in place
    trainer.learner.update()
    return torch.cat([p.detach().flatten().cpu() for p in trained]) - before


def _answers(trainer: Trainer, tokens: int) -> torch.Tensor:
    """Greedy answers of the trainer's model to fixed prompts, (rows, tokens)."""
    engine = Engine(trainer.model.eval(), RustBPETokenizer.characters())
    engine.end_tokens = set()  # with random weights, an answer could end early
    prompts = torch.randint(0, 256, (4, 32), generator=torch.Generator().manual_seed(1)).tolist()
    return torch.tensor([answer.tokens for answer in engine.generate_batch(prompts, max_tokens=tokens)])


def measure_parity(model: str, device: torch.device, tokens: int = 64, compiled: bool = False) -> Parity:
    """Compare `device` with a CPU: both build the same weights and read the same batch."""
    ways: dict[str, dict[str, Any]] = {
        "float32": {}, "bfloat16": {"precision": "bfloat16"}, "packed": {}, "recomputed": {"recompute": "all"},
        "packed, bfloat16": {"precision": "bfloat16"},
    }  # fmt: skip
    if compiled:
        ways["compiled"] = {"compile": True}

    def distance(found: torch.Tensor, truth: torch.Tensor) -> float:
        return float((found - truth).norm() / truth.norm())

    with exact_float32():
        truth = _trainer(model, torch.device("cpu"))
        batch = next(iter(truth.train_loader))
        loss, gradients = _loss_and_gradients(truth, batch)
        expected = _answers(truth, tokens)
        losses, distances, updates = dict[str, float](), dict[str, float](), dict[str, float]()
        for optimizer in ("adamw", "muon"):
            there, here = (_trainer(model, where, optimizer=optimizer) for where in (truth.device, device))
            for trainer in (there, here):
                _loss_and_gradients(trainer, batch)
            updates[optimizer] = distance(_update(here, gradients), _update(there, gradients))
        equal = float((_answers(_trainer(model, device), tokens) == expected).float().mean())
        for way, settings in ways.items():
            try:
                here = _trainer(model, device, **settings)
                found, taken = _loss_and_gradients(here, _packed(batch) if "packed" in way else batch)
                losses[way], distances[way] = abs(found - loss) / loss, distance(taken, gradients)
            except RuntimeError as error:  # only this way failed: the others are still reported
                print(f"{way} failed: {error}")
                losses[way] = distances[way] = math.nan
    return Parity(str(device), losses, distances, updates, equal)
