"""Write the font of searchable PDFs: one glyph, a whole em wide and high, for every character.

python -m dev.invisible_font

The text of a searchable PDF is never drawn; what a viewer needs of its font is how wide and how high each character is.
"""

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from nanochat.reading.searchable_pdf import DESCENT, FONT

EM = 1000


def build(path: Path) -> None:
    """Write the font as TrueType."""
    low, high = round(-DESCENT * EM), round((1 - DESCENT) * EM)
    pen = TTGlyphPen(None)
    pen.moveTo((0, low))
    for corner in ((0, high), (EM, high), (EM, low)):
        pen.lineTo(corner)
    pen.closePath()
    font = FontBuilder(EM, isTTF=True)
    font.setupHead(unitsPerEm=EM, created=0, modified=0)
    font.setupGlyphOrder([".notdef"])
    font.setupCharacterMap({})
    font.setupGlyf({".notdef": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (EM, 0)})
    font.setupHorizontalHeader(ascent=high, descent=low)
    font.setupNameTable({"familyName": "Invisible", "styleName": "Regular", "psName": "Invisible"})
    font.setupOS2(sTypoAscender=high, sTypoDescender=low, usWinAscent=high, usWinDescent=-low)
    font.setupPost(keepGlyphNames=False)
    font.font.recalcTimestamp = False
    font.save(path)


if __name__ == "__main__":
    build(FONT)
    print(FONT)
