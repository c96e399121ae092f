"""Searchable PDFs: the images of pages with their text placed invisibly over them.

Each word is stretched over its box and followed by a space, so that any program that extracts the text finds the gap.
All words use one font of 600 bytes (made by `dev/invisible_font.py`): its only glyph is one em wide and high, and it
maps each character code to its Unicode character.
"""

import ctypes
import io
import zlib
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from nanochat.lines.boxes import Box, turn_box, turn_size, union
from nanochat.reading.documents import PDFIUM, POINTS
from nanochat.reading.placed_text import PlacedText, placed_lines, words_in

FONT = Path(__file__).with_name("invisible.ttf")
DESCENT = 0.2  # of a character's height: the part below the baseline
GAP = 0.25  # line heights: least gap between two words that every program recognises
SHRUNK = 0.5  # least share of a word's length that is kept
LEAST = 1.0  # pixels: smallest size of a word
JPEG_QUALITY = 85
# Character codes are those of UTF-16: ToUnicode maps each to itself.
TO_UNICODE = b"""/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
1 beginbfrange
<0000> <FFFF> <0000>
endbfrange
endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""


def _font(document: pdfium.PdfDocument) -> Any:
    """The font, embedded in the document."""
    data, glyphs = FONT.read_bytes(), bytes(2 * 65_536)  # every code maps to glyph 0; this compresses to almost nothing
    return raw.FPDFText_LoadCidType2Font(
        document.raw, _array(ctypes.c_uint8, data), len(data), TO_UNICODE, _array(ctypes.c_uint8, glyphs), len(glyphs)
    )


def _array(kind: Any, values: Any) -> Any:
    return (kind * len(values))(*values)


def _with_gaps(words: list[tuple[str, Box]]) -> list[tuple[str, Box]]:
    """Words of a horizontal line with a gap after each: a word that nearly touches the next one ends earlier.

    Programs that extract text join words whose gap is too small, even if there is a space between them.
    """
    found = []
    for (word, (left, top, right, bottom)), (_, after) in pairwise([*words, ("", (2**31, 0, 2**31, 0))]):
        end = max(round(left + SHRUNK * (right - left)), round(after[0] - GAP * (bottom - top)))
        found.append((word, (left, top, min(right, end), bottom)))
    return found


def _level(words: list[tuple[str, Box]]) -> list[tuple[str, Box]]:
    """Words at the same height, if they differ by no more than their own height; otherwise unchanged.

    Programs that extract text sort words by height first, so a slanted line would come out in the wrong order.
    """
    top, bottom = (int(np.median([box[side] for _, box in words])) for side in (1, 3))
    if np.ptp([box[3] for _, box in words]) > bottom - top:
        return words
    return [(word, (box[0], top, box[2], bottom)) for word, box in words]


def _words(line: PlacedText, size: tuple[int, int]) -> list[tuple[str, Box]]:
    """The printable words of a line and their boxes on a page of `size`, level within a part, and if possible a line.

    Parts of a row at different heights would come out in the wrong order, too.
    """
    parts = []
    for stretch in line.stretches():
        words = [("".join(filter(str.isprintable, word)), box) for word, box in words_in(stretch, line.turned)]
        words = _with_gaps([(word, turn_box(box, line.turned, size)) for word, box in words if word])
        if words:
            parts.append(_level(words))
    if parts and line.turned == 180:  # pdfium orders words at the same height from left to right
        parts = [[(" ".join(word for word, _ in words), union(box for _, box in words))] for words in parts]
    elif parts:
        parts = [_level([word for words in parts for word in words])]
    return [(word, turn_box(box, -line.turned, turn_size(size, line.turned))) for words in parts for word, box in words]


def _add_word(
    document: pdfium.PdfDocument, page: Any, font: Any, word: str, box: Box, turned: int, scale: float, height: int
) -> None:
    """Place a word and a space over its box on the page; pdfium overlooks a single character without a space.

    `box`: of the word, in pixels. `turned`: degrees clockwise by which it would have to be turned to be upright.
    `scale`: points per pixel. `height`: of the page, in pixels.
    """
    left, top, right, bottom = box
    length, thickness = turn_size((right - left, bottom - top), turned)
    size = max(LEAST, thickness) * scale
    encoded = f"{word} ".encode("utf-16-le")
    codes = memoryview(encoded).cast("H").tolist()
    text = raw.FPDFPageObj_CreateTextObj(document.raw, font, size)
    raw.FPDFText_SetCharcodes(text, _array(ctypes.c_uint32, codes), len(codes))
    raw.FPDFTextObj_SetTextRenderMode(text, raw.FPDF_TEXTRENDERMODE_INVISIBLE)
    wider = max(LEAST, length) * scale / (size * len(word))  # unscaled characters are as wide as high
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turned]
    x, y = {0: (left, bottom), 90: (right, bottom), 180: (right, top), 270: (left, top)}[
        turned
    ]  # start of the baseline
    up = DESCENT * size  # to the baseline
    raw.FPDFPageObj_Transform(
        text, wider * cos, wider * sin, -sin, cos, x * scale - up * sin, (height - y) * scale + up * cos
    )
    raw.FPDFPage_InsertObject(page.raw, text)


def _add_picture(document: pdfium.PdfDocument, page: Any, picture: Image.Image, scale: float) -> None:
    """Place the image over the whole page: as JPEG, or lossless if smaller; in greyscale if it has no colour."""
    pixels = np.asarray(picture.convert("RGB"))
    if (pixels == pixels[:, :, :1]).all():
        picture, pixels = picture.convert("L"), pixels[:, :, 0]
    else:
        picture = picture.convert("RGB")
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=JPEG_QUALITY, optimize=True)
    image = pdfium.PdfImage.new(document)
    if len(zlib.compress(pixels.tobytes())) <= len(stored.getvalue()):
        image.set_bitmap(pdfium.PdfBitmap.from_pil(picture))
    else:
        image.load_jpeg(stored, inline=True)
    image.set_matrix(pdfium.PdfMatrix().scale(picture.width * scale, picture.height * scale))
    page.insert_obj(image)


class _Sink:
    """A file to which pdfium writes. It ignores exceptions of a callback, so the first one is kept."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> None:
        try:
            if self.error is None:
                self.file.write(data)
                self.file.flush()
        except OSError as error:
            self.error = error


def write_pdf(
    path: Path, entries: Iterable[dict[str, Any]], picture_of: Callable[[dict[str, Any]], Image.Image], dpi: int
) -> None:
    """Write a PDF of pages from the ledger, with their images at `dpi` pixels per inch and their text over them.

    pdfium builds it in memory, which takes about the size of the file. Raises OSError if the disk is full.
    """
    with PDFIUM:
        document = pdfium.PdfDocument.new()
        font = _font(document)
    for entry in entries:
        picture = picture_of(entry)
        scale = POINTS / picture.info.get("dpi", (dpi,))[0]  # the page of a scan may be rendered at a higher resolution
        with PDFIUM:
            page = document.new_page(picture.width * scale, picture.height * scale)
            _add_picture(document, page, picture, scale)
            for line in placed_lines(entry):
                for word, box in _words(line, picture.size):
                    _add_word(document, page, font, word, box, line.turned, scale, picture.height)
            page.gen_content()
            page.set_rotation((entry["result"] or {}).get("turned", 0))  # viewers show it upright
            page.close()
    with PDFIUM, open(path, "wb") as file:
        sink = _Sink(file)
        document.save(sink)
        document.close()
    if sink.error:
        raise sink.error
