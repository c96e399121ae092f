"""Blocks cut out of synthetic pages: consecutive lines, and nothing else that could be read."""

import random
from dataclasses import replace

import numpy as np
import pytest

from nanochat.synth import BLOCKS, LEVELS, draw_document
from nanochat.synth.blocks import LEAST_SIDE, MOST_SIDE, TOGETHER, blocks, cut_block, handful_of_blocks
from nanochat.synth.document import DrawnDocument
from nanochat.tasks.synth_documents import SynthDocuments

CLEAN = replace(LEVELS["page"], degrade=0.0, kinds=("article", "columns", "receipt", "table", "letter"))


def test_block_has_consecutive_lines_of_its_page() -> None:
    seen = 0
    for seed in range(16):
        document = draw_document(CLEAN, seed, "val")
        for block in blocks(document, random.Random(seed)):
            lines = block.text.split("\n")
            page = document.text.split("\n")
            assert any(page[i : i + len(lines)] == lines for i in range(len(page))) and len(lines) > 1
            assert block.chars == block.text.replace("\n", "") and len(block.boxes) == len(block.chars)
            height, width = block.image.shape[:2]
            for side in (height, width):
                assert side % 64 == 0 and LEAST_SIDE <= side <= MOST_SIDE
            tops = block.line_boxes()[:, 1]
            assert (np.diff(tops) > 0).all()
            seen += 1
    assert seen > 16


def test_positions_of_letters_in_a_block() -> None:
    checked = 0
    for seed in range(8):
        for block in blocks(draw_document(CLEAN, seed, "val"), random.Random(seed)):
            grey = block.image.reshape(*block.image.shape[:2], -1).mean(axis=2)
            for char, (x0, y0, x1, y1) in zip(block.chars, block.boxes.round().astype(int)):
                if char.isalnum():
                    part = grey[y0:y1, x0:x1]
                    checked += 1
                    assert part.max() - part.min() > 40, (block.text, char)
    assert checked > 400


def three_lines(gap: float, beside: float) -> DrawnDocument:
    """Three lines of five letters, 20 px high, `gap` px apart, and a letter `beside` px to the right of the second."""
    boxes = [
        [20 + 12 * i, 20 + (20 + gap) * line, 32 + 12 * i, 40 + (20 + gap) * line]
        for line in range(3)
        for i in range(5)
    ]
    boxes.append([80 + beside, 20 + 20 + gap, 92 + beside, 40 + 20 + gap])
    found = np.array(boxes, np.float32)
    ids = np.array([0] * 5 + [1] * 5 + [2] * 5 + [3], np.int32)
    text = "abcde\nfghij\nklmno\nx"
    return DrawnDocument(
        np.full((192, 256), 255, np.uint8), text, text.replace("\n", ""), found, (found[:, :2] + found[:, 2:]) / 2, ids
    )


def test_lines_with_other_letters_between_them_are_not_a_block() -> None:
    block = cut_block(three_lines(6, 60), 0, 2, random.Random(0))
    assert block is not None and block.text == "abcde\nfghij"
    assert cut_block(three_lines(6, -30), 0, 2, random.Random(0)) is None, "a letter of no line is printed over them"
    assert cut_block(three_lines(-12, 60), 0, 2, random.Random(0)) is None, "the third line overlaps the second"


@pytest.mark.parametrize("split", ["train", "val"])
def test_block_is_determined_by_its_number(split: str) -> None:
    task = SynthDocuments(split)
    first = [task[BLOCKS, i] for i in range(TOGETHER + 1)]
    handful_of_blocks.cache_clear()
    again = [task[BLOCKS, i] for i in range(TOGETHER + 1)]
    for one, two in zip(first, again):
        assert one["messages"] == two["messages"] and one["images"][0].tobytes() == two["images"][0].tobytes()
    assert len({record["messages"][1]["content"] for record in first}) > TOGETHER - 1
