"""Measure packing: the same training steps on charts and conversations, padded to the longest sample and packed."""

import time
from dataclasses import dataclass, replace
from itertools import islice

import torch

from dev.bench.train import filled_trainer, flat_stage
from nanochat.tasks.common import Task
from nanochat.training.config import TrainConfig


@dataclass
class PackingReport:
    """The same steps padded and packed. Seconds are processor time on a CPU, and elapsed time on a GPU."""

    batch_size: int
    seq_len: int
    steps: int
    precision: str
    padding: tuple[float, float]
    """share of all tokens that is padding: padded, packed"""
    step_seconds: tuple[float, float]
    """mean: padded, packed"""
    loss_difference: float
    """relative difference of the loss of the first step"""


def measure_packing(config: TrainConfig, task: Task, steps: int, device: torch.device) -> PackingReport:
    """Run `steps` training steps of stage 1 on `task`, after a warm-up step; padded and packed steps alternate."""
    trainers = [filled_trainer(replace(config, pack=pack), flat_stage(), device, task) for pack in (False, True)]
    bos = trainers[0].tokenizer.get_bos_token_id()  # the padding token
    seconds, tokens, filled, first = [0.0, 0.0], [0, 0], 0, [0.0, 0.0]
    for k, batches in enumerate(islice(zip(*(trainer.train_loader for trainer in trainers)), steps + 1)):
        for way, (trainer, batch) in enumerate(zip(trainers, batches)):
            start = _clock(device)
            loss = trainer.train_step([batch])["loss"]
            if k == 0:
                first[way] = loss
                continue
            seconds[way] += _clock(device) - start
            tokens[way] += batch[0].numel()
        if k:
            inputs = batches[0][0]
            filled += inputs.numel() - int((inputs == bos).sum()) + len(inputs)  # each row begins with one bos token
    return PackingReport(
        batch_size=config.batch_size, seq_len=config.seq_len, steps=steps, precision=trainers[0].learner.precision.name,
        padding=(1 - filled / tokens[0], 1 - filled / tokens[1]),
        step_seconds=(seconds[0] / steps, seconds[1] / steps),
        loss_difference=abs(first[1] - first[0]) / first[0],
    )  # fmt: skip


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()
