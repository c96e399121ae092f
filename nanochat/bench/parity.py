"""Does this device compute what a CPU does? Loss, gradients and answers of the same weights on both."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from nanochat.bench.train import filled_trainer
from nanochat.engine import Engine
from nanochat.multimodal_dataloader import Batch
from nanochat.tokenizer import RustBPETokenizer
from nanochat.trainer import Stage, TrainConfig, Trainer


@dataclass
class Parity:
    """How far the device's results are from a CPU's in float32, as shares of the latter."""

    device: str
    loss: dict[str, float]
    """of one batch, by precision"""
    gradients: dict[str, float]
    """of all parameters together, by precision: |device's - CPU's| / |CPU's|"""
    equal_tokens: float
    """of greedy answers in float32"""


@contextmanager
def exact_float32() -> Iterator[None]:
    """Products and convolutions in full float32, where a GPU would take TF32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def _trainer(model: str, device: torch.device, precision: Literal["float32", "bfloat16"]) -> Trainer:
    config = TrainConfig(
        model=model, image_size=128, batch_size=4, seq_len=64, steps=1, precision=precision, num_workers=0
    )
    return filled_trainer(config, Stage(1, lambda step, steps: 1.0, 1e-4), device)


def _loss_and_gradients(trainer: Trainer, batch: Batch) -> tuple[float, torch.Tensor]:
    loss, _ = trainer.learner.forward_backward(batch, 1.0, 1)
    return loss, torch.cat([p.grad.flatten().cpu() for p in trainer.model.parameters() if p.grad is not None])


def _answers(trainer: Trainer, tokens: int) -> torch.Tensor:
    """Greedy answers of the trainer's model to fixed prompts, (rows, tokens)."""
    engine = Engine(trainer.model.eval(), RustBPETokenizer.byte_level())
    engine.end_tokens = set()  # random weights must not end early
    prompts = torch.randint(0, 256, (4, 32), generator=torch.Generator().manual_seed(1)).tolist()
    return torch.tensor([answer.tokens for answer in engine.generate_batch(prompts, max_tokens=tokens)])


def measure_parity(model: str, device: torch.device, tokens: int = 64) -> Parity:
    """Compare `device` with a CPU: both build the same weights and read the same batch."""
    with exact_float32():
        truth = _trainer(model, torch.device("cpu"), "float32")
        batch = next(iter(truth.train_loader))
        loss, gradients = _loss_and_gradients(truth, batch)
        expected = _answers(truth, tokens)
        losses, distances = dict[str, float](), dict[str, float]()
        names: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
        for name in names:
            here = _trainer(model, device, name)
            found, taken = _loss_and_gradients(here, batch)
            losses[name] = abs(found - loss) / loss
            distances[name] = float((taken - gradients).norm() / gradients.norm())
            if name == "float32":
                equal = float((_answers(here, tokens) == expected).float().mean())
    return Parity(str(device), losses, distances, equal)
