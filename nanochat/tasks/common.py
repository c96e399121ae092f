"""What every data set is: a `Task`, a sequence of conversations that can be sliced, and mixtures of several.

A conversation: {"messages": [{"role": "user", "content": "<image>\\nFree OCR."}, {"role": "assistant", "content":
"TOTAL 9.00"}], "images": [PIL.Image]}; `images` is empty for text alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nanochat.errors import UserError

ENDLESS = 1_000_000_000  # length of a task that has no end


class BadSample(UserError):
    """One sample cannot be read; the message names it. A long run may skip it and go on."""


class Task:
    """A sequence of conversations; `start`, `stop` and `step` choose among the examples as in a slice.

    A data set defines `num_examples` and `get_example`.
    """

    def __init__(self, start: int | None = None, stop: int | None = None, step: int | None = None):
        self._chosen = slice(start, stop, step)

    @property
    def prompts(self) -> set[str]:
        """What is asked of its pictures, word for word, where that is known: what a model learns from it."""
        return set()

    def num_examples(self) -> int:
        """How many examples the data set has before the slice."""
        raise NotImplementedError

    def get_example(self, index: int) -> dict[str, Any]:
        """Example `index`, from 0, of the data set before the slice. Raises BadSample when it cannot be read."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(range(self.num_examples())[self._chosen])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.get_example(range(self.num_examples())[self._chosen][index])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))


class TaskMixture(Task):
    """All examples of several tasks in one shuffled order, fixed by `seed`; a task given twice counts twice."""

    def __init__(self, tasks: Sequence[Task], seed: int = 42):
        super().__init__()
        self.tasks = list(tasks)
        self._ends = np.cumsum([len(task) for task in self.tasks], dtype=np.int64)  # (n_tasks,)
        self._order = np.random.default_rng(seed).permutation(self.num_examples())  # (n_examples,)

    @property
    def prompts(self) -> set[str]:
        return set().union(*(task.prompts for task in self.tasks))

    def num_examples(self) -> int:
        return int(self._ends[-1]) if self.tasks else 0

    def get_example(self, index: int) -> dict[str, Any]:
        position = int(self._order[index])
        which = int(np.searchsorted(self._ends, position, side="right"))
        before = int(self._ends[which - 1]) if which else 0
        return self.tasks[which][position - before]
