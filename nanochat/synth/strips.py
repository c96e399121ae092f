"""Training lines cut out of synthetic documents by the code that cuts pages at inference, with their text.

A line drawn on its own is clean around its letters. A line cut out of a page also shows its surroundings: rules, tick
boxes, bullets, drawings, the descenders of neighbouring lines, and the blur of enlarging. The model must see these in
training to learn that they are not text.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, pairwise

import cv2
import numpy as np
from PIL import Image

from nanochat.lines.cut import MARGIN, TYPE_HEIGHT, Piece, cut_lines
from nanochat.lines.layout import find_lines
from nanochat.synth.document import DrawnDocument
from nanochat.synth.levels import LEVELS
from nanochat.synth.practice import draw_practice

TOGETHER = 8  # strips per call of `handful`
LONGEST = 512  # px, most width of a strip
SHOWN = (
    *("line128", "line256", "line384", "line512", "E", "Ew", "note", "note", "note", "leaf", "leaf"),
    *("page", "page", "page", "page"),
)
TALL, TALLEST, NARROWEST = 0.12, 2.0, 0.19  # share in tall type; largest factor; least width over height of a letter
INSIDE, OUTSIDE = 0.30, 0.62  # type heights from the line's middle: nearer letters belong to it, farther ones do not
WHOLE = 0.8  # visible share of a letter at the end of a piece from which it belongs to it; below 1 - WHOLE it does not


def made_tall(document: DrawnDocument, rng: random.Random) -> None:
    """Stretch a document vertically in place, as receipts print emphasised text, while it stays readable."""
    if not len(document.boxes):
        return
    wide, tall = np.median(document.boxes[:, 2:] - document.boxes[:, :2], axis=0)
    factor = min(rng.uniform(1.2, TALLEST), wide / tall / NARROWEST)
    height = document.image.shape[0]
    taller = 64 * int(height * factor / 64)
    if taller <= height:
        return
    document.image = cv2.resize(document.image, (document.image.shape[1], taller), interpolation=cv2.INTER_CUBIC)
    document.boxes[:, 1::2] *= taller / height
    document.centres[:, 1] *= taller / height


@dataclass
class Strip:
    """A line, or a part of one, cut out of a document."""

    picture: Image.Image
    """RGB, 64 px high, as in `lines.Piece`"""
    text: str
    """its text, with single spaces"""
    chars: str
    """its glyphs from left to right, spaces included"""
    centres: np.ndarray
    """(len(chars), 2): x and y of their centres, px of the picture"""


def cut_strip(piece: Piece, document: DrawnDocument) -> Strip | None:
    """A piece of a document with its text. None if letters at one of its edges are cut in half."""
    assert piece.course is not None
    places, between = piece.course.locate(document.centres)
    widths, heights = ((document.boxes[:, 2:] - document.boxes[:, :2]) * piece.course.scale).T
    away = np.abs(places[:, 1] - piece.course.middle) / np.maximum(heights, 1)
    inked = document.inked
    if (between & inked & (away > INSIDE) & (away < OUTSIDE)).any():
        return None
    start, end = MARGIN, MARGIN + len(piece.course.middles)  # columns of the picture that show the page
    left, right = places[:, 0] - widths / 2, places[:, 0] + widths / 2
    seen = (right.clip(start, end) - left.clip(start, end)) / np.maximum(widths, 1e-6)
    if (inked & (away < OUTSIDE) & (seen > 1 - WHOLE) & (seen < WHOLE)).any():
        return None
    here = np.flatnonzero(between & (away <= INSIDE))
    here = here[np.argsort(places[here, 0], kind="stable")]
    chars = "".join(document.chars[i] for i in here)
    text = chars[:1]
    for (before, i), char in zip(pairwise(here), chars[1:]):
        neighbours = i == before + 1 and document.line_ids[i] == document.line_ids[before]
        text += char if neighbours else " " + char  # where two segments meet, there is a space
    return Strip(piece.picture, " ".join(text.split()), chars, places[here])


def strips(document: DrawnDocument, type_height: float = TYPE_HEIGHT) -> list[Strip]:
    """The lines of a synthetic document as mode `lines` cuts them, except those with letters cut in half."""
    page = Image.fromarray(document.image).convert("RGB")
    cut = [cut_strip(piece, document) for piece in cut_lines(page, find_lines(page), LONGEST, type_height)]
    return [strip for strip in cut if strip is not None]


def _documents(seed: int, split: str, rng: random.Random) -> Iterator[DrawnDocument]:
    for i in count():
        level = replace(LEVELS[rng.choice(SHOWN)], degrade=rng.uniform(0.1, 0.9))
        document = draw_practice(level, seed * 1000 + i, split, rng)
        if rng.random() < TALL:
            made_tall(document, rng)
        yield document


@lru_cache(maxsize=4)
def handful(seed: int, split: str = "train") -> list[Strip]:
    """TOGETHER strips of synthetic documents, shuffled, type 20 to 34 px high. Deterministic in `seed`."""
    rng = random.Random(f"{split}/strips/{seed}")
    found: list[Strip] = []
    for document in _documents(seed, split, rng):
        some = strips(document, type_height=TYPE_HEIGHT * rng.uniform(0.77, 1.3))
        found += rng.sample(some, min(len(some), TOGETHER // 2))
        if len(found) >= TOGETHER:
            return found[:TOGETHER]
    raise AssertionError("documents are without end")
