"""Documents to learn the finding and reading of lines from: small print among them, and drawings beside the text."""

import random
from dataclasses import replace

from nanochat.synth.document import Document
from nanochat.synth.draw import draw_document
from nanochat.synth.levels import Level
from nanochat.synth.ornaments import with_ornaments

SMALL_PRINT, SMALL_PX = 0.12, (8, 12)  # share of the documents that are set in smaller type, and its sizes, px
WEAR_OF_SMALL_PRINT = 0.55  # of the wear that larger type has: it must still be readable
DECORATED = 0.3  # share with drawings beside the text


def draw_practice(level: Level, seed: int, split: str, rng: random.Random) -> Document:
    """The document of `level` that `seed` names, made harder by what `rng` draws, as sets to measure on are not."""
    if rng.random() < SMALL_PRINT:
        level = replace(level, font_px=SMALL_PX, degrade=level.degrade * WEAR_OF_SMALL_PRINT)
    document = draw_document(level, seed, split)
    if rng.random() < DECORATED:
        document.image = with_ornaments(document.image, document.boxes, rng)
    return document
