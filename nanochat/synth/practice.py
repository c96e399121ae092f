"""Training documents that are harder than the evaluation sets: worn, underlined, crossed out, on coloured grounds.

`draw_practice` is for detecting and reading single lines; it also has small print, small capitals and single letters.
`draw_used` is for reading whole pages: its text stays in reading order.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from nanochat.synth.beside import with_lone_letters, with_rows_of_marks
from nanochat.synth.degrade import camera
from nanochat.synth.document import DrawnDocument
from nanochat.synth.draw import draw_document
from nanochat.synth.fonts import FontSet, capital, find_fonts
from nanochat.synth.grounds import on_colour
from nanochat.synth.levels import Level
from nanochat.synth.ornaments import with_ornaments
from nanochat.synth.wear import crossed, dotted, scanned_in_black_and_white, shaded, shown_through, underlined, worn

SMALL_PRINT, SMALL_PX = 0.12, (8, 12)  # share of documents in small print, and its range of type sizes, px
WEAR_OF_SMALL_PRINT = 0.55  # factor on the degradation of small print, which must stay readable
WORN, TILL_KINDS = 0.22, ("receipt", "receipt", "lines")  # share printed by worn receipt printers, and its kinds
FLAT = 0.15  # factor on their other degradation before printing: broken print needs even paper
SYMBOLS, SMALL_CAPITALS = 0.08, 0.06  # share with many symbols; share of the others set in small capitals
ALONE, MARKED = 0.2, 0.12  # share with single letters; with rows of marks
DECORATED, CROSSED, THROUGH = 0.3, 0.12, 0.06  # share with drawings; pen strokes; show-through of the back
UNDERLINED, SHADED, SCANNED = 0.18, 0.06, 0.1  # share underlined; with halftone grounds; in black and white
DOTTED = 0.3  # share of the training receipts printed with visible dots
COLOURED = 0.15  # share of training documents with text on coloured bars and boxes
Effect = Callable[[DrawnDocument, random.Random], np.ndarray]  # returns the changed image of a document


@cache
def _till_fonts() -> FontSet:
    """The typewriter, code and dot-matrix faces of training, or all faces if there are none."""
    faces = find_fonts().trained_faces()
    return FontSet([face for face in faces if face.mono] or faces)


@cache
def _small_capitals() -> FontSet:
    """The faces of training, each with small capitals instead of lower-case letters."""
    return FontSet([replace(face, small_capitals=True) for face in find_fonts().trained_faces()])


def draw_practice(level: Level, seed: int, split: str, rng: random.Random) -> DrawnDocument:
    """The document of `level` and `seed`, made harder according to `rng`. For training only."""
    till, fonts = rng.random() < WORN, None
    if till:
        kinds = TILL_KINDS if level.max_lines > 1 else level.kinds
        level, fonts = replace(level, kinds=kinds, degrade=level.degrade * FLAT), _till_fonts()
    elif rng.random() < SMALL_PRINT:
        level = replace(level, font_px=SMALL_PX, degrade=level.degrade * WEAR_OF_SMALL_PRINT)
    elif rng.random() < SMALL_CAPITALS:
        fonts = _small_capitals()
    if rng.random() < SYMBOLS:
        level = replace(level, kinds=("symbols",))
    document = draw_document(level, seed, split, fonts)
    if fonts is not None and not till:
        document.text = "".join(capital(char) for char in document.text)
        document.chars = document.text.replace("\n", "")
    if rng.random() < ALONE:
        with_lone_letters(document, rng)
    return _used(document, till, level, split, rng)


def draw_used(level: Level, seed: int, rng: random.Random) -> DrawnDocument:
    """The training document of `level` and `seed`, with its own kinds and type sizes, made harder according to `rng`.

    Its text stays in reading order, unlike that of `draw_practice`, which appends single letters at the end.
    """
    till = rng.random() < WORN
    if till:
        level = replace(level, degrade=level.degrade * FLAT)
    document = draw_document(level, seed, "train", _till_fonts() if till else None)
    return _used(document, till, level, "train", rng)


def _on_boxes(effect: Callable[[np.ndarray, np.ndarray, random.Random], np.ndarray]) -> Effect:
    """The effect on a document, given one that takes its image and the boxes of its glyphs."""
    return lambda document, rng: effect(document.image, document.boxes, rng)


def _effects(split: str) -> list[tuple[float, Effect]]:
    """(share of documents, effect), in the order in which the effects are applied to a document of `split`."""
    return [
        (UNDERLINED, underlined),
        (MARKED, _on_boxes(with_rows_of_marks)),
        (SHADED, _on_boxes(shaded)),
        *([(COLOURED, on_colour)] if split == "train" else []),
        (THROUGH, _on_boxes(shown_through)),
        (DECORATED, _on_boxes(with_ornaments)),
        (CROSSED, _on_boxes(crossed)),
    ]


def _used(document: DrawnDocument, till: bool, level: Level, split: str, rng: random.Random) -> DrawnDocument:
    """`document` with the wear of real papers: worn print if printed by a `till`, rules, grounds, drawings, pens."""
    if till:
        print_it = dotted if split == "train" and rng.random() < DOTTED else worn
        document.image = print_it(document.image, document.boxes, rng)
    coloured = False
    for share, effect in _effects(split):
        if rng.random() < share:
            document.image = effect(document, rng)
            coloured = coloured or effect is on_colour
    if rng.random() < SCANNED and not coloured:  # thresholding two colours could lose the text
        document.image = scanned_in_black_and_white(document.image, document.boxes, rng)
    if till:
        document.image = camera(document.image, level.font_px[0], rng.uniform(0.1, 0.6), rng)
    return document
