"""Packing measured: charts and conversations mixed, padded to the longest and laid end to end, in the same steps."""

import time
from dataclasses import dataclass, replace
from itertools import islice

import torch

from dev.bench.train import filled_trainer
from nanochat.tasks.common import Task
from nanochat.training.config import TrainConfig
from nanochat.training.trainer import Stage


@dataclass
class PackingReport:
    """The same samples in the same steps, both ways; seconds are the processor's on a CPU, the clock's on a GPU."""

    batch_size: int
    seq_len: int
    steps: int
    precision: str
    padding: tuple[float, float]
    """share of all tokens that is padding: padded, packed"""
    step_seconds: tuple[float, float]
    """mean: padded, packed"""
    loss_difference: float
    """of the first step's loss, relative"""


def measure_packing(config: TrainConfig, task: Task, steps: int, device: torch.device) -> PackingReport:
    """`steps` training steps of stage 1 over `task`, after one that warms up; both ways take turns."""
    trainers = [
        filled_trainer(replace(config, pack=pack), Stage(1, lambda step, steps: 1.0, 1e-4), device, task)
        for pack in (False, True)
    ]
    bos = trainers[0].tokenizer.get_bos_token_id()  # what rows are padded with
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
            filled += inputs.numel() - int((inputs == bos).sum()) + len(inputs)  # each row begins with one of its own
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
