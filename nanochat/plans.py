"""Which samples make each batch: plans that a run can take up again at any batch."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


class BatchPlan(Protocol):
    """Which samples make each batch. Batch k depends on k alone, so that a run can go on from any of them."""

    def batch(self, k: int, rank: int, world_size: int) -> list[Any] | None:
        """Keys of this rank's share of batch k; None when there is no batch k on any rank."""

    def observe(self, k: int, loss: float) -> bool:
        """Hear the loss of batch k; True when the plan has changed, and what was read ahead is stale."""

    def state_dict(self) -> dict:
        """What a resumed run must know beyond the number of the next batch; JSON."""

    def load_state_dict(self, state: dict) -> None: ...


class FixedPlan:
    """A plan that no loss changes."""

    def observe(self, k: int, loss: float) -> bool:
        return False

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


@dataclass
class ShuffledBatches(FixedPlan):
    """An endless stream of epochs, each a new permutation: batch k holds the k-th `batch_size * world_size` samples.

    The ranks' shares are disjoint, and together they are what one process with the whole batch would read.
    """

    n: int
    batch_size: int
    seed: int = 42
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
    """Every sample once, in order, for validation; a rank's share of the last batch may be short or empty."""

    n: int
    batch_size: int

    def batch(self, k: int, rank: int, world_size: int) -> list[int] | None:
        if k * world_size * self.batch_size >= self.n:
            return None
        start = (k * world_size + rank) * self.batch_size
        return list(range(min(start, self.n), min(start + self.batch_size, self.n)))
