"""Evaluation sets: tasks whose examples have names and tiers, with the rules for comparing their texts."""

import numpy as np
from PIL import Image

from nanochat.prompts import PROMPTS
from nanochat.tasks.common import Task, conversation

WHERE = "give the folder of the data with --data"


class EvalSet(Task):
    """A task with a name and a tier (a kind of image, such as `line` or `page`) for each example."""

    ids: list[str]
    """name of each example"""
    tiers: list[str]
    """tier of each example"""
    fold_case = False
    """whether case is ignored, because the expected texts do not have the case of the images"""
    cut_lines = False
    """whether its images are cropped tightly around a single line"""
    accents = False
    """whether its texts have letters that English does not use"""
    questions = False
    """whether the expected text is a short answer to a question, not all text in the image"""

    def num_examples(self) -> int:
        return len(self.ids)


def choose(total: int, n: int) -> list[int]:
    """`n` distinct numbers below `total`, ascending, or all of them if `n` is larger. Always the same ones."""
    return sorted(np.random.default_rng(0).permutation(total)[:n].tolist())


def reading(picture: Image.Image, text: str) -> dict:
    """The conversation that asks for all text in `picture` and expects `text`."""
    return {"messages": conversation(PROMPTS["free"], text), "images": [picture]}
