"""Schedules of the learning rate: functions from a step to a multiple of the peak learning rate."""

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]  # (step, steps) -> multiple of the peak learning rate


def cosine(warmup: int) -> Schedule:
    """Schedule: linear warm-up over `warmup` steps, then half a cosine down to zero."""

    def multiple(step: int, steps: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return multiple


def step_decay(warmup: int, every: int, gamma: float) -> Schedule:
    """Schedule: linear warm-up over `warmup` steps, then multiplied by `gamma` every `every` steps."""
    return lambda step, steps: (step + 1) / warmup if step < warmup else gamma ** (step // every)


def decay_to_zero(warmup: int, last: float) -> Schedule:
    """Schedule: linear warm-up, then constant, then linear to zero over the share `last` (0 to 1) of the steps."""
    return lambda step, steps: min((step + 1) / max(1, warmup), 1.0, (steps - step) / max(1.0, last * steps))
