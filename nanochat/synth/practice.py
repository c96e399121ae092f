"""Training documents that are harder than the measured ones: worn, underlined, crossed out, on coloured grounds.

`draw_practice` is for finding and reading single lines: it also has small print, small capitals and letters that stand
alone. `draw_used` is for reading whole pages: its text stays in reading order.
"""

import random
from dataclasses import replace
from functools import cache

from nanochat.synth.beside import with_lone_letters, with_rows_of_marks
from nanochat.synth.degrade import camera
from nanochat.synth.document import Document
from nanochat.synth.draw import draw_document
from nanochat.synth.fonts import Face, FontSet, capital, find_fonts
from nanochat.synth.grounds import on_colour
from nanochat.synth.levels import Level
from nanochat.synth.ornaments import with_ornaments
from nanochat.synth.wear import crossed, dotted, scanned_in_black_and_white, shaded, shown_through, underlined, worn

SMALL_PRINT, SMALL_PX = 0.12, (8, 12)  # share of the documents that are set in smaller type, and its sizes, px
WEAR_OF_SMALL_PRINT = 0.55  # of the wear that larger type has: it must still be readable
WORN, TILL_KINDS = 0.22, ("receipt", "receipt", "lines")  # share printed by worn tills, and what they print
FLAT = 0.15  # of the other wear, before the print breaks: what is broken must lie on even paper
SYMBOLS, SMALL_CAPITALS = 0.08, 0.06  # share thick with symbols; of the evenly printed, set in small capitals
ALONE, MARKED = 0.2, 0.12  # share with letters that stand alone, with rows of marks
DECORATED, CROSSED, THROUGH = 0.3, 0.12, 0.06  # share with drawings beside the text, a pen across, its back's print
UNDERLINED, SHADED, SCANNED = 0.18, 0.06, 0.1  # share with lines underlined, on grey dots, in black and white
DOTTED = 0.3  # share of what worn tills print in training that is made of dots one can see
COLOURED = 0.15  # share of the documents of training with text on bars and boxes of colour


def _trained_faces() -> list[Face]:
    return [face for family in find_fonts().trained.values() for face in family]


@cache
def _till_fonts() -> FontSet:
    """The typewriter, code and dot faces to train on, or all where there is none such."""
    faces = _trained_faces()
    return FontSet([face for face in faces if face.mono] or faces)


@cache
def _small_capitals() -> FontSet:
    """The faces to train on, each with smaller capitals for its small letters."""
    return FontSet([replace(face, small_capitals=True) for face in _trained_faces()])


def draw_practice(level: Level, seed: int, split: str, rng: random.Random) -> Document:
    """The document of `level` that `seed` names, made harder by what `rng` draws, as sets to measure on are not."""
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


def draw_used(level: Level, seed: int, rng: random.Random) -> Document:
    """The document of training that `seed` names, of its level's own kinds and type sizes, made harder by `rng`.

    Its text is in reading order, as whole pages need it: `draw_practice` adds letters that stand alone at the end.
    """
    till = rng.random() < WORN
    if till:
        level = replace(level, degrade=level.degrade * FLAT)
    document = draw_document(level, seed, "train", _till_fonts() if till else None)
    return _used(document, till, level, "train", rng)


def _used(document: Document, till: bool, level: Level, split: str, rng: random.Random) -> Document:
    """`document` with what happens to papers: worn print if a `till` printed it, rules, grounds, drawings, pens."""
    if till:
        print_it = dotted if split == "train" and rng.random() < DOTTED else worn
        document.image = print_it(document.image, document.boxes, rng)
    if rng.random() < UNDERLINED:
        document.image = underlined(document, rng)
    if rng.random() < MARKED:
        document.image = with_rows_of_marks(document.image, document.boxes, rng)
    if rng.random() < SHADED:
        document.image = shaded(document.image, document.boxes, rng)
    coloured = split == "train" and rng.random() < COLOURED
    if coloured:
        document.image = on_colour(document, rng)
    if rng.random() < THROUGH:
        document.image = shown_through(document.image, document.boxes, rng)
    if rng.random() < DECORATED:
        document.image = with_ornaments(document.image, document.boxes, rng)
    if rng.random() < CROSSED:
        document.image = crossed(document.image, document.boxes, rng)
    if rng.random() < SCANNED and not coloured:  # two colours would not tell the ink from its ground
        document.image = scanned_in_black_and_white(document.image, document.boxes, rng)
    if till:
        document.image = camera(document.image, level.font_px[0], rng.uniform(0.1, 0.6), rng)
    return document
