"""Synthetic documents as a task: the prompt "Free OCR." and the exact text, with glyph positions for dense labels."""

import random

import numpy as np
from PIL import Image

from nanochat.prompts import PROMPTS
from nanochat.synth import BLOCKS, LEVELS, STRIPS, TEXT, DrawnDocument, blocks, draw_document
from nanochat.synth.lessons import PAGE_LESSONS
from nanochat.synth.practice import draw_used
from nanochat.synth.strips import TOGETHER, handful
from nanochat.tasks.common import ENDLESS, conversation

PROMPT = PROMPTS["free"]
COPY = "Copy this text.\n"
USED = 0.4  # share of the pages of training that are worn, crossed, underlined or on grounds of colour
_PAGES = frozenset(lesson.level for lesson in PAGE_LESSONS)


class SynthDocuments:
    """Endless: `task[level, i]` generates document `i` of a level; the same key always gives the same document.

    A record: {"messages": [{"role": "user", "content": "<image>\\nFree OCR."}, {"role": "assistant", "content": "TOTAL
    12.50"}], "images": [image], "glyphs": (chars, centres (n, 2) as x, y in pixels, line ids)}. For the level `strips`
    the image is a line cut out of a document, for `blocks` some lines of one. For the level `text` there is no image;
    the user message contains the text to copy. In the split `train`, some of the pages are worn.
    """

    def __init__(self, split: str = "train") -> None:
        self.split = split

    @property
    def prompts(self) -> set[str]:
        """The prompts about images."""
        return {PROMPT}

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, key: tuple[str, int]) -> dict:
        level, i = key
        if level == TEXT:
            text = draw_document(LEVELS["note"], i, split=self.split).text
            return {"messages": conversation(COPY + text, text), "images": []}
        if level == STRIPS:
            strip = handful(i // TOGETHER, self.split)[i % TOGETHER]
            one_line = np.zeros(len(strip.chars), np.int32)
            return {
                "messages": conversation(PROMPT, strip.text),
                "images": [strip.picture],
                "glyphs": (strip.chars, strip.centres, one_line),
            }
        document = self._document(level, i)
        return {
            "messages": conversation(PROMPT, document.text),
            "images": [Image.fromarray(document.image)],
            "glyphs": (document.chars, document.centres, document.line_ids),
        }

    def _document(self, level: str, i: int) -> DrawnDocument:
        if level == BLOCKS:
            return blocks.handful_of_blocks(i // blocks.TOGETHER, self.split)[i % blocks.TOGETHER]
        if self.split == "train" and level in _PAGES:
            rng = random.Random(f"used/{level}/{i}")
            if rng.random() < USED:
                return draw_used(LEVELS[level], i, rng)
        return draw_document(LEVELS[level], i, split=self.split)
