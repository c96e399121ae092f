"""Time a training step part by part, and check that the gradients of the parts are those of the whole step.

The whole step is that of the trainer. To time its parts, the graph is cut at the vision tokens and at the last hidden
states of the GPT.
"""

import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dev.bench.rates import Stopwatch, copy_rate, product_rate, products
from nanochat.gpt import token_losses
from nanochat.machine import peak_flops
from nanochat.model_config import VisionConfig, preset
from nanochat.multimodal_dataloader import Batch, create_multimodal_loader, to_device
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.tasks.common import Task
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.config import TrainConfig
from nanochat.training.flops import step_flops
from nanochat.training.setup import Setup
from nanochat.training.trainer import Stage, Trainer

FRAME = 6  # tokens of a conversation besides image and answer: bos, starts and ends, a newline


class FilledPages(Task):
    """Noise images, each with enough random text to fill `seq_len`, and a glyph for each of its characters."""

    def __init__(self, vision: VisionConfig, seq_len: int) -> None:
        super().__init__()
        self.size = vision.image_size
        self.n_chars = max(1, seq_len + 1 - vision.layout(self.size, self.size).n_tokens - FRAME)

    def num_examples(self) -> int:
        return 64

    def get_example(self, index: int) -> dict:
        random = np.random.default_rng(index)
        pixels = random.integers(0, 256, (self.size, self.size, 3), dtype=np.uint8)
        text = "".join(map(chr, random.integers(97, 123, self.n_chars)))
        messages = [{"role": "user", "content": "<image>\n"}, {"role": "assistant", "content": text}]
        places = random.uniform(0, self.size, (self.n_chars, 2))
        lines = np.sort(random.integers(0, 40, self.n_chars))
        return {"messages": messages, "images": [Image.fromarray(pixels)], "glyphs": (text, places, lines)}


@dataclass
class StepReport:
    """The cost of a step of one stage; times are the shortest."""

    stage: int
    batch_size: int
    seq_len: int
    image_size: int
    precision: str
    step_seconds: float
    parts: dict[str, float]
    """seconds by part; `dense labels` is the forward pass of their head, if the stage has one"""
    tokens_per_second: float
    pictures_per_second: float
    flops: float
    """operations of the model in a step, including the vision encoder"""
    mfu: float
    """share of the peak rate of matrix products"""
    processor_share: float
    """processor time divided by time and threads: less than 1 if the processor was idle or shared"""
    gradient_error: float
    """largest relative difference between the gradients of the parts and of the whole step"""


@dataclass
class Machine:
    """The limits of the machine."""

    device: str
    threads: int
    peak_flops: float
    """the fastest matrix product measured in the training precision; for a known GPU, from its data sheet"""
    product_flops: dict[str, float]
    """rate of matrix products with the shapes of the model"""
    copy_bytes: float
    """bytes per second of a copy, read and written"""


def flat_stage(number: int = 1, dense: bool = False) -> Stage:
    """A stage with a constant learning rate, with or without dense losses."""
    return Stage(number, lambda step, steps: 1.0, 1e-4, dense_weights={"patches": 1.0, "cells": 1.0} if dense else {})


def filled_trainer(config: TrainConfig, stage: Stage, device: torch.device, task: Task | None = None) -> Trainer:
    """A trainer with random weights on generated pages, or on `task`; it downloads nothing."""
    torch.manual_seed(config.seed)
    model_config = preset(config.model)
    model_config.vision.image_size = config.image_size
    setup = Setup(device, RustBPETokenizer.characters(), NanoDeepseekOCR(model_config))
    setup.model.set_image_token_id(setup.tokenizer.encode_special("<|image|>"))
    if stage.number == 2:
        setup.model.freeze_sam()
    wake(setup.model)
    on_gpu = device.type == "cuda"
    loader = create_multimodal_loader(
        task or FilledPages(model_config.vision, config.seq_len), setup.tokenizer, config.batch_size, config.seq_len,
        model_config.vision.mode("square"), num_workers=config.data_workers(on_gpu), pin_memory=on_gpu,
        pack=config.pack,
    )  # fmt: skip
    return Trainer(config, stage, setup, loader, lambda: loader)


@torch.no_grad()
def wake(model: torch.nn.Module) -> None:
    """Fill the matrices that start at zero, which would make gradients zero."""
    random = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.ndim >= 2 and not weight.any():
            weight.copy_(torch.randn(weight.shape, generator=random) * weight[0].numel() ** -0.5)


class CutStep:
    """A training step with timed parts."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.model = trainer, trainer.model

    def gradients(self, batch: Batch, watch: Stopwatch) -> None:
        """Forward and backward pass of one batch, as in a step of this batch alone."""
        trainer, model = self.trainer, self.model
        inputs, targets, media = to_device(batch, trainer.device)
        supervised = targets != -1
        with trainer.learner.precision.autocast(trainer.device):
            assert media.pixel_values is not None
            seen = torch.cat(model.encode_images(media.pixel_values))
            vision = seen.detach().requires_grad_()
            watch.lap("encoder forward")
            hidden = model.gpt.hidden(model.embed(inputs, None, vision), positions=model.gpt.positions(inputs))
            cut = hidden.detach().requires_grad_()
            watch.lap("GPT forward")
            loss = token_losses(cut[supervised], model.gpt.lm_head.weight, targets[supervised]).sum()
        (loss / supervised.sum()).backward()
        watch.lap("loss")
        torch.autograd.backward(hidden, cut.grad)
        watch.lap("GPT backward")
        roots, gradients = [seen], [vision.grad]
        if trainer.learner.objective.dense is not None:
            with trainer.learner.precision.autocast(trainer.device):
                losses = trainer.learner.objective.dense(media.labels)
                roots.append(sum(w * losses[what] for what, w in trainer.stage.dense_weights.items()))  # type: ignore
            gradients.append(None)
            watch.lap("dense labels")
        torch.autograd.backward(roots, gradients)
        watch.lap("encoder backward")

    def finish(self, watch: Stopwatch) -> None:
        """The part of the optimizers."""
        self.trainer.learner.update()
        watch.lap("optimizer")


def gradient_error(trainer: Trainer, batch: Batch) -> float:
    """Largest |a - b| / |b| over all parameters: a, gradients of the parts; b, of the whole step."""

    def taken() -> dict[str, Tensor]:
        named = {name: p.grad for name, p in trainer.learner.objective.named_parameters() if p.grad is not None}
        for optimizer in trainer.learner.optimizers:
            optimizer.zero_grad(set_to_none=True)
        return named

    CutStep(trainer).gradients(batch, Stopwatch(trainer.device))
    cut = taken()
    trainer.learner.forward_backward(batch, float((batch[1] != -1).sum()), 1)
    whole = taken()
    assert cut.keys() == whole.keys()
    return max(float((cut[name] - b).norm() / b.norm().clamp(min=1e-12)) for name, b in whole.items())


def measure_step(trainer: Trainer, steps: int, peak: float) -> StepReport:
    """Time `steps` whole steps and as many part by part. `peak`: FLOP/s that utilisation is relative to."""
    config, device = trainer.config, trainer.device
    ready = list(islice(iter(trainer.train_loader), 2))
    error = gradient_error(trainer, ready[0])
    trainer.train_step([ready[0]])  # warm-up
    batches = cycle(ready)
    whole, laps = [], []
    clock, worked = time.perf_counter(), time.process_time()
    for _ in range(steps):
        watch = Stopwatch(device)
        trainer.train_step([next(batches)])
        watch.lap("step")
        whole.append(watch.seconds()["step"])
    clock, worked = time.perf_counter() - clock, time.process_time() - worked
    share = worked / clock / torch.get_num_threads()
    fresh, cut = iter(trainer.train_loader), CutStep(trainer)
    for _ in range(steps):
        watch = Stopwatch(device)
        batch = next(fresh)
        watch.lap("waiting for data")
        cut.gradients(batch, watch)
        cut.finish(watch)
        laps.append(watch.seconds())
    inputs, targets, media = ready[0]
    flops = step_flops(
        trainer.model.config.vision, trainer.model.config.gpt, media.view_sizes, [inputs.size(1)] * inputs.size(0),
        int((targets != -1).sum()), sam_trains=trainer.stage.number == 1,
    )  # fmt: skip
    seconds = min(whole)
    return StepReport(
        stage=trainer.stage.number, batch_size=config.batch_size, seq_len=inputs.size(1), image_size=config.image_size,
        precision=trainer.learner.precision.name, step_seconds=seconds,
        parts={name: min(lap[name] for lap in laps) for name in laps[0]},
        tokens_per_second=inputs.numel() / seconds, pictures_per_second=len(media.view_sizes) / seconds,
        flops=flops, mfu=flops / seconds / peak,
        processor_share=share, gradient_error=error,
    )  # fmt: skip


def measure_machine(trainer: Trainer) -> Machine:
    """The limits of the machine for the model, precision and batch of the trainer."""
    inputs, targets, media = next(iter(trainer.train_loader))
    shapes = products(trainer.model.config, inputs.numel(), int((targets != -1).sum()), media.view_sizes)
    device = trainer.device
    rates = {shape.name: product_rate(shape, trainer.learner.precision, device) for shape in shapes}
    on_gpu = device.type == "cuda"
    return Machine(
        device=torch.cuda.get_device_name(device) if on_gpu else cpu_name(),
        threads=torch.get_num_threads(),
        peak_flops=peak_flops(device, trainer.learner.precision)
        if on_gpu
        else max(trainer.utilisation.peak, *rates.values()),
        product_flops=rates,
        copy_bytes=copy_rate(2**31 if on_gpu else 2**28, device),
    )


def cpu_name() -> str:
    """The name of the processor, on Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "CPU")
