"""The curriculum of synthetic documents: move on to the next level once the current one is read well enough.

Progress depends on the loss, not on the number of steps, which could run ahead of the model. Levels that are no longer
shown are forgotten, so most batches come from the current level, some from all earlier ones and a few from the next.
"""

from dataclasses import dataclass, field

import numpy as np

from nanochat.plans import FixedPlan
from nanochat.synth.levels import BLOCKS, LEVELS, STRIPS, TEXT

Key = tuple[str, int]  # name of the level, number of the document
SHARES = (0.65, 0.25, 0.10)  # of the batches: current level, earlier levels, next level
SMOOTHING = 0.97  # of the running loss, per batch of the current level
MOST_DOCUMENTS = 128  # in a batch
MIN_BATCHES = 100  # batches of the current level before it can be completed
FAR = 1_000_000  # offset between the document numbers of two ranks, in batches; more than any run has


@dataclass(frozen=True)
class Lesson:
    """A level, and the running loss (nats per character) at which it is completed."""

    level: str
    leave_below: float


@dataclass
class Curriculum:
    """A batch plan over levels.

    The first `dense_steps` batches come from `dense_levels`, drawn uniformly: dense labels need no curriculum. Then the
    lessons are worked through in order. From batch `last_from` on, batches come from `last_levels`, drawn uniformly, so
    that nothing is forgotten while the learning rate decays. `beside`: (level, share) of the batches that are taken
    from other levels in both of the later phases, such as TEXT (no images) or STRIPS (single lines).
    """

    lessons: tuple[Lesson, ...]
    pixels_per_batch: int
    dense_steps: int = 0
    dense_levels: tuple[str, ...] = ()
    last_from: int | None = None
    last_levels: tuple[str, ...] = ()
    beside: tuple[tuple[str, float], ...] = ()
    seed: int = 42
    now: int = field(default=0, init=False)
    running_loss: float | None = field(default=None, init=False)
    batches_here: int = field(default=0, init=False)

    def batch_size(self, name: str) -> int:
        """Documents in a batch of one level, determined by the image area."""
        level = LEVELS[{TEXT: "note", STRIPS: "line256", BLOCKS: "leaf"}.get(name, name)]
        return max(1, min(MOST_DOCUMENTS, self.pixels_per_batch // (level.width * level.height)))

    def _level(self, k: int) -> str:
        random = np.random.default_rng((self.seed, k))
        names = [lesson.level for lesson in self.lessons]
        if k < self.dense_steps:
            return self.dense_levels[random.integers(len(self.dense_levels))]
        draw = np.random.default_rng((self.seed, k, 1)).random()
        for name, share in self.beside:
            if draw < share:
                return name
            draw -= share
        if self._is_last(k):
            return self.last_levels[random.integers(len(self.last_levels))]
        share = random.random()
        if share < SHARES[0] or len(names) == 1:
            return names[self.now]
        if share < SHARES[0] + SHARES[1] and self.now > 0:
            return names[random.integers(self.now)]
        return names[min(self.now + 1, len(names) - 1)] if share >= SHARES[0] + SHARES[1] else names[self.now]

    def _is_last(self, k: int) -> bool:
        return self.last_from is not None and k >= self.last_from

    def batch(self, k: int, rank: int, world_size: int) -> list[Key]:
        name = self._level(k)
        size = self.batch_size(name)
        first = (k + rank * FAR) * MOST_DOCUMENTS  # no document is repeated, even if the number of ranks changes
        return [(name, first + i) for i in range(size)]

    def observe(self, k: int, loss: float) -> bool:
        """Report the loss of batch k. Returns True if this completed a level."""
        if k < self.dense_steps or self._is_last(k) or self._level(k) != self.lessons[self.now].level:
            return False
        self.batches_here += 1
        previous = loss if self.running_loss is None else self.running_loss
        self.running_loss = SMOOTHING * previous + (1 - SMOOTHING) * loss
        lesson = self.lessons[self.now]
        if self.batches_here < MIN_BATCHES or self.running_loss >= lesson.leave_below or lesson is self.lessons[-1]:
            return False
        self.now, self.running_loss, self.batches_here = self.now + 1, None, 0
        return True

    def __str__(self) -> str:
        loss = "-" if self.running_loss is None else f"{self.running_loss:.3f}"
        return f"level {self.lessons[self.now].level} ({loss})"

    def state_dict(self) -> dict:
        return {"now": self.now, "running_loss": self.running_loss, "batches_here": self.batches_here}

    def load_state_dict(self, state: dict) -> None:
        self.now, self.running_loss, self.batches_here = state["now"], state["running_loss"], state["batches_here"]


@dataclass
class LevelSet(FixedPlan):
    """A fixed validation set: the first `per_level` documents of each level. Every batch has a single level."""

    levels: tuple[str, ...]
    per_level: int
    batch_size: int

    def __len__(self) -> int:
        return len(self.levels) * self.per_level

    def batch(self, k: int, rank: int, world_size: int) -> list[Key] | None:
        per_batch = self.batch_size * world_size
        batches = -(-self.per_level // per_batch)
        if k >= batches * len(self.levels):
            return None
        start = (k % batches) * per_batch + rank * self.batch_size
        return [(self.levels[k // batches], i) for i in range(start, min(start + self.batch_size, self.per_level))]
