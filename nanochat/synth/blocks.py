"""Blocks of lines cut out of synthetic pages: a paragraph, some rows of a table, part of a receipt.

A larger page is read block by block. A block differs from a page drawn at its size: its text starts and ends in the
middle of a sentence, other lines are close above and below, and it shows rules and boxes of the page it was cut from.
"""

import random
from functools import lru_cache

import cv2
import numpy as np

from nanochat.synth.document import DrawnDocument, glyph_height
from nanochat.synth.draw import draw_document
from nanochat.synth.levels import LEVELS
from nanochat.synth.practice import draw_used

SHOWN = ("note", "leaf", "page", "page", "page")  # levels that blocks are cut from
TOGETHER = 4  # blocks per call of `handful_of_blocks`
LEAST_SIDE, MOST_SIDE = 256, 512  # px, sides of a view
MOST_LINES = 16
TYPE_HEIGHTS = (17.0, 36.0)  # px, range of the type height in a view, ascenders to descenders
SEEN = 0.15  # how much of a foreign letter may be visible at the edge of a block, as a share of the glyph height
_TRIES = 6  # attempts per document


def _columns(boxes: np.ndarray) -> list[tuple[int, int]]:
    """(first, end) of each run of lines that are below one another; `end` is exclusive.

    boxes: (n_lines, 4), the lines in reading order.
    """
    follows = (boxes[1:, 1] > boxes[:-1, 1] + 0.4 * (boxes[:-1, 3] - boxes[:-1, 1])) & (
        np.minimum(boxes[1:, 2], boxes[:-1, 2]) > np.maximum(boxes[1:, 0], boxes[:-1, 0])
    )
    starts = [0, *(np.flatnonzero(~follows) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(boxes)]))


def cut_block(document: DrawnDocument, first: int, count: int, rng: random.Random) -> DrawnDocument | None:
    """Lines `first` to `first + count - 1` of a document as one view, cut tightly or with some of their surroundings.

    The sides of the view are multiples of 64 from LEAST_SIDE to MOST_SIDE. The type is scaled to a height in
    TYPE_HEIGHTS if that fits. Returns None if other letters lie between these lines or too close to be cut off.
    """
    inside = (document.line_ids >= first) & (document.line_ids < first + count)
    boxes, inked = document.boxes, document.inked
    tall = glyph_height(boxes[inside])
    x0, y0 = boxes[inside & inked, :2].min(axis=0)
    x1, y1 = boxes[inside & inked, 2:].max(axis=0)
    others = boxes[inked & ~inside]
    for room in (rng.uniform(0.1, 0.9) * tall, 0.1 * tall, 0.0):
        edges = np.array([x0 - room, y0 - 0.6 * room, x1 + room, y1 + 0.6 * room])
        overlap = np.minimum(others[:, 2:], edges[2:]) - np.maximum(others[:, :2], edges[:2])
        seen = (overlap > 0).all(axis=1) & (overlap > SEEN * (others[:, 2:] - others[:, :2])).all(axis=1)
        if not seen.any():
            break
    else:
        return None
    height, width = document.image.shape[:2]
    left, top, right, bottom = edges.clip(0, [width, height, width, height]).round().astype(int).tolist()
    scale = min(rng.uniform(*TYPE_HEIGHTS) / tall, MOST_SIDE / (right - left), MOST_SIDE / (bottom - top))
    if scale * tall < TYPE_HEIGHTS[0] * 0.7:
        return None
    cut = document.image[top:bottom, left:right]
    size = (max(round(cut.shape[1] * scale), 1), max(round(cut.shape[0] * scale), 1))
    cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    wide, high = (min(max(-(-side // 64) * 64, LEAST_SIDE), MOST_SIDE) for side in size)
    border = np.concatenate([cut[[0, -1]].reshape(-1, *cut.shape[2:]), cut[:, [0, -1]].reshape(-1, *cut.shape[2:])])
    view = np.empty((high, wide, *cut.shape[2:]), np.uint8)
    view[:] = np.median(border, axis=0)
    x, y = rng.randint(0, wide - size[0]), rng.randint(0, high - size[1])
    view[y : y + size[1], x : x + size[0]] = cut
    times = np.array(size) / [right - left, bottom - top]
    moved = (boxes[inside].reshape(-1, 2, 2) - [left, top]) * times + [x, y]
    lines = document.text.split("\n")[first : first + count]
    text = "\n".join(lines)
    return DrawnDocument(
        view, text, text.replace("\n", ""), moved.reshape(-1, 4).clip(0, [wide, high] * 2).astype(np.float32),
        ((document.centres[inside] - [left, top]) * times + [x, y]).astype(np.float32),
        (document.line_ids[inside] - first).astype(np.int32),
    )  # fmt: skip


def blocks(document: DrawnDocument, rng: random.Random) -> list[DrawnDocument]:
    """Up to two blocks of a document. Each has at least two lines and lies within one column."""
    if not len(document.boxes):
        return []
    columns = [(start, end) for start, end in _columns(document.line_boxes()) if end - start > 1]
    found: list[DrawnDocument] = []
    for _ in range(_TRIES if columns else 0):
        start, end = rng.choice(columns)
        count = rng.randint(2, min(MOST_LINES, end - start))
        block = cut_block(document, rng.randint(start, end - count), count, rng)
        if block is not None:
            found.append(block)
        if len(found) == 2:
            break
    return found


@lru_cache(maxsize=4)
def handful_of_blocks(seed: int, split: str = "train") -> list[DrawnDocument]:
    """TOGETHER blocks of synthetic documents; deterministic in `seed`. In "train" half of the documents are worn."""
    rng = random.Random(f"{split}/blocks/{seed}")
    found: list[DrawnDocument] = []
    number = seed * 1000
    while len(found) < TOGETHER:
        level = LEVELS[rng.choice(SHOWN)]
        worn = split == "train" and rng.random() < 0.5
        document = draw_used(level, number, rng) if worn else draw_document(level, number, split)
        found += blocks(document, rng)
        number += 1
    return found[:TOGETHER]
