"""Train the line detector on synthetic documents, and write its weights.

python -m scripts.line_train                # 5,600 steps: about an hour of one CPU core
python -m scripts.line_train --resume=auto  # continue an interrupted run
python -m scripts.line_train --weights=models/lines/model.safetensors --lr=1e-3 --steps=1600  # train it further

The loss is binary cross-entropy and one minus the Dice overlap for the cores of lines, plus the mean error of the
logarithm of their heights.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from nanochat.checkpoint import half_state, load_weights
from nanochat.command import entry_point, parse_args
from nanochat.common import autodetect_device_type, print0
from nanochat.files import atomic_path
from nanochat.image_process import to_tensor
from nanochat.lines.network import LineFinder, load_finder
from nanochat.machine import choose_precision
from nanochat.synth.line_targets import example

HELD_OUT = 1_000_000  # data of steps from this one on is never trained on


@dataclass
class Config:
    """Train the line detector."""

    out: str = "out/lines"
    """folder for model.safetensors and, during training, state.pt"""
    weights: str = ""
    """model.safetensors to start from; by default, training starts from scratch"""
    steps: int = 5600
    """number of optimizer steps"""
    batch_size: int = 16
    """number of windows of 256 x 256 pixels, two from each document"""
    lr: float = 3e-3
    """peak learning rate of AdamW, followed by a cosine decay to zero"""
    save_every: int = 200
    """save and validate every so many steps"""
    resume: Literal["no", "auto"] = "no"
    """auto: continue from state.pt, if it exists"""


def make_batch(step: int, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The batch (pictures, cores, heights) of a step; equal on all machines with the same fonts."""
    seeds = range(step * batch_size // 2, (step + 1) * batch_size // 2)
    pictures, cores, heights = zip(*[window for seed in seeds for window in example(seed)])
    return (
        torch.stack([to_tensor(picture) for picture in pictures]),
        torch.tensor(np.stack(cores)),
        torch.tensor(np.stack(heights)),
    )


def losses(core: Tensor, height: Tensor, target: Tensor, tall: Tensor) -> tuple[Tensor, Tensor]:
    """(loss of the cores, mean absolute error of the logarithm of the heights). All inputs are float32 (B, h, w)."""
    sure = core.sigmoid()
    dice = 1 - (2 * (sure * target).sum() + 1) / (sure.sum() + target.sum() + 1)
    within = target > 0
    off = (height - tall)[within].abs().mean() if within.any() else 0 * height.sum()
    return F.binary_cross_entropy_with_logits(core, target) + dice, off


@torch.inference_mode()
def mean_losses(model: LineFinder, batches: list[tuple[Tensor, Tensor, Tensor]], device: torch.device) -> list[float]:
    """The means of both losses over `batches`."""
    model.eval()
    figures = []
    for pictures, target, tall in batches:
        core, height = model(pictures.to(device))
        figures.append(losses(core, height, target.to(device), tall.to(device)))
    model.train()
    return torch.tensor(figures).mean(0).tolist()


def save(folder: Path, model: LineFinder, optimizer: torch.optim.Optimizer, step: int, precision: str) -> None:
    """Write state.pt, from which a run can be resumed, and the weights in float16."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "precision": precision}
    with atomic_path(folder / "state.pt") as path:
        torch.save(state, path)
    with atomic_path(folder / "model.safetensors") as path:
        save_file(half_state(model), path)


def rate(config: Config, step: int) -> float:
    """The learning rate: 100 steps of warm-up, then half a cosine down to zero."""
    return config.lr * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def train(config: Config) -> LineFinder:
    """Run the training, or the rest of it. Returns the network after the last step."""
    torch.manual_seed(0)
    device = torch.device(autodetect_device_type())
    model = load_finder(Path(config.weights)) if config.weights else LineFinder()
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    folder, step, kind = Path(config.out), 0, "auto"
    folder.mkdir(parents=True, exist_ok=True)
    if config.resume == "auto" and (folder / "state.pt").exists():
        state: Any = load_weights(folder / "state.pt")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, kind = state["step"], state["precision"]
    precision = choose_precision(kind, device)
    held_out = [make_batch(HELD_OUT + i, config.batch_size) for i in range(4)]
    started, first = time.perf_counter(), step
    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = rate(config, step)
        pictures, target, tall = (tensor.to(device) for tensor in make_batch(step, config.batch_size))
        with precision.autocast(device):
            core, height = model(pictures.contiguous(memory_format=torch.channels_last))
        found, off = losses(core.float(), height.float(), target, tall)
        (found + off).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 20 == 0:
            seconds = (time.perf_counter() - started) / (step - first)
            print0(
                f"step {step:05d}/{config.steps} | cores: {found.item():.4f} | heights: {off.item():.4f} | "
                f"dt: {seconds:.2f}s | left: {seconds * (config.steps - step) / 60:.1f} min"
            )
        if step % config.save_every == 0 or step == config.steps:
            save(folder, model, optimizer, step, precision.name)
            cores, heights = mean_losses(model, held_out, device)
            print0(f"held out | cores: {cores:.4f} | heights: {heights:.4f}")
    return model


@entry_point
def main() -> None:
    train(parse_args(Config))


if __name__ == "__main__":
    main()
