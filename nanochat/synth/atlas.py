"""The glyphs of one face at one size as numpy arrays. FreeType renders each once; after that it is only copied."""

import math
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from nanochat.synth.fonts import ASCII, Face, capital, open_font
from nanochat.tokenizer import LETTERS

_SMALLER = 0.8  # of the type size, for small capitals


class Glyph(NamedTuple):
    """One rendered character. Offsets are in px from the pen position on the baseline, y downwards."""

    ink: np.ndarray  # (h, w) uint8 coverage
    left: int
    top: int
    advance: float


@cache
def _proportions(face: Face) -> tuple[float, float, float, float]:
    """(highest row of any character, lowest row, x-height, typical advance), as fractions of the type size."""
    px = 64
    font = open_font(face.path, face.index, px)
    bounds = font.getbbox(ASCII + face.extras, anchor="ls")
    x_height = -font.getbbox("x", anchor="ls")[1]
    return -bounds[1] / px, bounds[3] / px, x_height / px, font.getlength("nesota1A") / 8 / px


@cache
def _accents(face: Face) -> float:
    """How far accented letters reach above all others, as a fraction of the type size."""
    px = 64
    letters = face.highest or LETTERS
    return max(0.0, -open_font(face.path, face.index, px).getbbox(letters, anchor="ls")[1] / px - _proportions(face)[0])


class Atlas(dict[str, Glyph]):
    """The glyphs of one face at one pixel size, keyed by character and rendered on first use.

    `ascent` and `descent` are those of unaccented characters, in px. Accented letters reach `rise` rows above the
    ascent.
    """

    def __init__(self, face: Face, px: int):
        super().__init__()
        self.px = px
        self._source = (face.path, face.index, px)
        self._small_capitals = face.small_capitals
        top, bottom, x_height, typical = _proportions(face)
        self.ascent = math.ceil(top * px + 0.5)  # rows above the baseline that characters reach; hinting adds up to one
        self.descent = math.ceil(bottom * px + 0.5)  # rows below the baseline
        self.rise = math.ceil(_accents(face) * px) if face.highest or face.western else 0
        self.x_height = x_height * px
        self.typical_advance = typical * px

    def __missing__(self, char: str) -> Glyph:
        path, index, px = self._source
        drawn = capital(char) if self._small_capitals else char
        font = open_font(path, index, px if drawn == char else max(round(_SMALLER * px), 1))
        mask, (left, top) = font.getmask2(drawn, "L", anchor="ls")
        width, height = mask.size
        ink = np.array(mask, np.uint8).reshape(height, width)
        highest = -self.ascent - (0 if char.isascii() else self.rise)
        ink = ink[max(highest - top, 0) : max(self.descent - top, 0)]  # keeps unusual glyphs within their row
        glyph = self[char] = Glyph(ink, left, max(top, highest), font.getlength(drawn))
        return glyph

    def width(self, text: str) -> float:
        """The sum of the advances of `text` in px."""
        return sum([self[char].advance for char in text])


@lru_cache(maxsize=8192)
def get_atlas(face: Face, px: int) -> Atlas:
    """The atlas of `face` at `px` pixels. The 8,192 most recently used are cached."""
    return Atlas(face, px)
