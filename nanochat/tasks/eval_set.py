"""What is measured on: a task whose examples have names and tiers, and which says how its texts are compared."""

import numpy as np
from PIL import Image

from nanochat.tasks.common import Task
from nanochat.tasks.synth_documents import PROMPT, conversation

WHERE = "give the folder of the data with --data"


class EvalSet(Task):
    """A task with `ids`, the name of each example, and `tiers`, the kind of picture that it is (`line`, `page`)."""

    ids: list[str]
    tiers: list[str]
    fold_case = False
    """whether the expected texts have lost their case"""
    cut_lines = False
    """whether its pictures are cut tight around one line"""
    accents = False
    """whether its texts have letters that English has not"""
    questions = False
    """whether a short answer is asked for instead of all that is written"""

    def num_examples(self) -> int:
        return len(self.ids)


def choose(total: int, n: int) -> list[int]:
    """`n` of the numbers below `total`, or all of them, ascending: the same ones every time."""
    return sorted(np.random.default_rng(0).permutation(total)[:n].tolist())


def reading(picture: Image.Image, text: str) -> dict:
    """The conversation in which all that is written on `picture` is asked for."""
    return {"messages": conversation(PROMPT, text), "images": [picture]}
