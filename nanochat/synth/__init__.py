"""Synthetic documents: images drawn from a seed, with their exact text and a box for every glyph."""

from nanochat.synth.document import DrawnDocument
from nanochat.synth.draw import SPLITS, draw_document
from nanochat.synth.fonts import FontSet, find_fonts
from nanochat.synth.levels import BLOCKS, CURRICULUM, LEVELS, ONE_VIEW_TIERS, STRIPS, TEXT, TIERS, Level

__all__ = [
    "BLOCKS",
    "CURRICULUM",
    "LEVELS",
    "ONE_VIEW_TIERS",
    "SPLITS",
    "STRIPS",
    "TEXT",
    "TIERS",
    "DrawnDocument",
    "FontSet",
    "Level",
    "draw_document",
    "find_fonts",
]
