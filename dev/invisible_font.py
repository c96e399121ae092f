"""Write the font of searchable PDFs: one glyph, an em wide and an em high, for every character.

python -m dev.invisible_font

The text of a searchable PDF is never drawn. A viewer only needs the width and height of each character.
"""

from dataclasses import dataclass
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from nanochat.command import entry_point, parse_args
from nanochat.files import atomic_path
from nanochat.reading.searchable_pdf import DESCENT, FONT

EM = 1000


@dataclass
class Config:
    out: Path = FONT
    """font file to write; by default the one that the package uses"""


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


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    with atomic_path(config.out) as temporary:
        build(temporary)
    print(f"Wrote {config.out}")


if __name__ == "__main__":
    main()
