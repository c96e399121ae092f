"""Glyphs of one face at one size as numpy arrays: rendered once by FreeType, then only copied."""

import math
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from PIL import ImageFont

from nanochat.synth.fonts import ASCII, Face, capital
from nanochat.tokenizer import LETTERS

_SMALLER = 0.8  # of the type's size: small capitals


class Glyph(NamedTuple):
    """One rendered character; offsets are from the pen on the baseline, y downwards."""

    ink: np.ndarray  # (h, w) uint8 coverage
    left: int
    top: int
    advance: float


@lru_cache(maxsize=64)  # an open font takes FreeType 100 KB and more; the glyphs rendered from it far less
def _open(path: str, index: int, px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, px, index, layout_engine=ImageFont.Layout.BASIC)


@cache
def _proportions(face: Face) -> tuple[float, float, float, float]:
    """(highest row of any character, lowest row, x-height, advance of a typical letter), over the type's size."""
    px = 64
    font = _open(face.path, face.index, px)
    bounds = font.getbbox(ASCII + face.extras, anchor="ls")
    x_height = -font.getbbox("x", anchor="ls")[1]
    return -bounds[1] / px, bounds[3] / px, x_height / px, font.getlength("nesota1A") / 8 / px


@cache
def _accents(face: Face) -> float:
    """How far accented letters stand out above all others, over the type's size."""
    px = 64
    letters = face.highest or LETTERS
    return max(0.0, -_open(face.path, face.index, px).getbbox(letters, anchor="ls")[1] / px - _proportions(face)[0])


class Atlas(dict[str, Glyph]):
    """The glyphs of one face at one pixel size, by character, rendered when first asked for.

    Accented letters reach `rise` rows above the ascent, which is that of the others.
    """

    def __init__(self, face: Face, px: int):
        super().__init__()
        self.px = px
        self._source = (face.path, face.index, px)
        self._small_capitals = face.small_capitals
        top, bottom, x_height, typical = _proportions(face)
        self.ascent = math.ceil(top * px + 0.5)  # rows above the baseline that characters reach; hinting adds up to one
        self.descent = math.ceil(bottom * px + 0.5)  # rows below it
        self.rise = math.ceil(_accents(face) * px) if face.highest or face.western else 0
        self.x_height = x_height * px
        self.typical_advance = typical * px

    def __missing__(self, char: str) -> Glyph:
        path, index, px = self._source
        drawn = capital(char) if self._small_capitals else char
        font = _open(path, index, px if drawn == char else max(round(_SMALLER * px), 1))
        mask, (left, top) = font.getmask2(drawn, "L", anchor="ls")
        width, height = mask.size
        ink = np.array(mask, np.uint8).reshape(height, width)
        highest = -self.ascent - (0 if char.isascii() else self.rise)
        ink = ink[max(highest - top, 0) : max(self.descent - top, 0)]  # keeps odd glyphs within their row
        glyph = self[char] = Glyph(ink, left, max(top, highest), font.getlength(drawn))
        return glyph

    def width(self, text: str) -> float:
        """The sum of the advances of `text`, px."""
        return sum([self[char].advance for char in text])


@lru_cache(maxsize=8192)
def get_atlas(face: Face, px: int) -> Atlas:
    """The atlas of `face` at `px` pixels; the 8,192 last used are kept."""
    return Atlas(face, px)
