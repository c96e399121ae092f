"""The base class of every dataset, `Task`: a sequence of conversations that can be sliced; and mixtures of tasks.

A conversation: {"messages": [{"role": "user", "content": "<image>\\nFree OCR."}, {"role": "assistant", "content":
"TOTAL 9.00"}], "images": [PIL.Image]}. For text without images, `images` is empty.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nanochat.errors import UserError
from nanochat.image_process import open_image

ENDLESS = 1_000_000_000  # length of a task that has no end


class BadSample(UserError):
    """One sample cannot be read; the message names it. A long training run may skip it and continue."""


def conversation(user: str, assistant: str) -> list[dict[str, str]]:
    """The messages of a conversation with one user message and its answer."""
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]


def open_sample(source: str | Path | bytes, name: str) -> Image.Image:
    """The image of a sample, from a file or its content. Raises BadSample, which begins with `name`."""
    try:
        return open_image(source, name=name)
    except UserError as error:
        raise BadSample(str(error)) from error


class Task:
    """A sequence of conversations. `start`, `stop` and `step` select examples as a slice does.

    A subclass defines `num_examples` and `get_example`. `task[i]` and iteration return conversations, see the module
    docstring.
    """

    def __init__(self, start: int | None = None, stop: int | None = None, step: int | None = None):
        self._chosen = slice(start, stop, step)

    @property
    def prompts(self) -> set[str]:
        """The prompts about images that occur in the dataset, if they are known.

        A checkpoint records those that it was trained on.
        """
        return set()

    def num_examples(self) -> int:
        """Number of examples in the dataset, before slicing."""
        raise NotImplementedError

    def get_example(self, index: int) -> dict[str, Any]:
        """Example `index`, counted from 0 before slicing. Raises BadSample if it cannot be read."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(range(self.num_examples())[self._chosen])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.get_example(range(self.num_examples())[self._chosen][index])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))


class TaskMixture(Task):
    """All examples of several tasks in one shuffled order.

    The order is determined by `seed`. A task that is given twice counts twice.
    """

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
