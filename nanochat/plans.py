"""Batch plans: which samples make up each batch, so that a run can be resumed at any batch."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


class BatchPlan(Protocol):
    """Which samples make up each batch.

    A run can be resumed at any batch k, since `batch` depends only on k and on the state in `state_dict`.
    """

    def batch(self, k: int, rank: int, world_size: int) -> list[Any] | None:
        """Keys of the samples of batch k that rank `rank` of `world_size` reads; None if batch k does not exist."""

    def observe(self, k: int, loss: float) -> bool:
        """Report the training loss of batch k. Returns True if this made prefetched batches invalid."""

    def state_dict(self) -> dict:
        """State, besides the number of the next batch, that a resumed run needs. Must be serialisable as JSON."""

    def load_state_dict(self, state: dict) -> None:
        """Restore what `state_dict` returned."""


class FixedPlan:
    """A batch plan that does not depend on the loss and has no state."""

    def observe(self, k: int, loss: float) -> bool:
        return False

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


@dataclass
class ShuffledBatches(FixedPlan):
    """An endless stream of epochs over `n` samples, each in a new order.

    Batch k consists of the k-th `batch_size * world_size` samples of the stream. The ranks read disjoint parts of it;
    together they read what a single process with the whole batch would.
    """

    n: int
    """number of samples"""
    batch_size: int
    """samples in a batch, for each rank"""
    seed: int = 42
    """seed of the orders"""
    _epoch: tuple[int, np.ndarray] | None = field(default=None, init=False, repr=False)

    def _sample(self, position: int) -> int:
        epoch, offset = divmod(position, self.n)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, np.random.default_rng((self.seed, epoch)).permutation(self.n))
        return int(self._epoch[1][offset])

    def batch(self, k: int, rank: int, world_size: int) -> list[int]:
        start = (k * world_size + rank) * self.batch_size
        return [self._sample(position) for position in range(start, start + self.batch_size)]


@dataclass
class OrderedBatches(FixedPlan):
    """Every sample once, in order, for validation. The part of a rank in the last batch may be shorter or empty."""

    n: int
    """number of samples"""
    batch_size: int
    """samples in a batch, for each rank"""

    def batch(self, k: int, rank: int, world_size: int) -> list[int] | None:
        if k * world_size * self.batch_size >= self.n:
            return None
        start = (k * world_size + rank) * self.batch_size
        return list(range(min(start, self.n), min(start + self.batch_size, self.n)))
