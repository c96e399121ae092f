"""Glyphs of one face at one size as numpy arrays: rendered once by FreeType, then only copied."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import ImageFont

from nanochat.synth.fonts import Face


class Glyph(NamedTuple):
    """One rendered character; offsets are from the pen on the baseline, y downwards."""

    ink: np.ndarray  # (h, w) uint8 coverage
    left: int
    top: int
    advance: float


class Atlas:
    """The glyphs of one face at one pixel size, rendered when first asked for."""

    def __init__(self, face: Face, px: int):
        self.face, self.px = face, px
        self._font = ImageFont.truetype(face.path, px, face.index, layout_engine=ImageFont.Layout.BASIC)
        self._glyphs: dict[str, Glyph] = {}
        tall = self._font.getbbox("|()[]{}@$Qgjpqyldbfhk", anchor="ls")
        self.ascent = -int(tall[1])  # rows above the baseline that letters and brackets reach
        self.descent = int(tall[3])  # rows below it
        self.x_height = -float(self._font.getbbox("x", anchor="ls")[1])

    def glyph(self, char: str) -> Glyph:
        """The glyph of one character."""
        glyph = self._glyphs.get(char)
        if glyph is None:
            mask, (left, top) = self._font.getmask2(char, "L", anchor="ls")
            width, height = mask.size
            ink = np.array(mask, np.uint8).reshape(height, width)
            glyph = self._glyphs[char] = Glyph(ink, left, top, self._font.getlength(char))
        return glyph

    def width(self, text: str) -> float:
        """The sum of the advances of `text`, px."""
        return sum(self.glyph(char).advance for char in text)

    def has(self, text: str) -> bool:
        """Whether every character of `text` can be drawn."""
        return all(char.isascii() or char in self.face.extras for char in text)


@lru_cache(maxsize=2048)
def get_atlas(face: Face, px: int) -> Atlas:
    """The atlas of `face` at `px` pixels; the 2,048 last used are kept (some 100 MB when full)."""
    return Atlas(face, px)
