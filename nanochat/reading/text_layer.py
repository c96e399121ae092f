"""The text layer of a PDF page: its words, their positions, and the page made from them.

The layer of a born-digital page is its exact text. `layer_check.py` decides whether a layer can be trusted.
"""

import ctypes
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image

from nanochat.image_process import MAX_PIXELS
from nanochat.lines.boxes import Box, shares_covered, union
from nanochat.lines.layout import Line
from nanochat.lines.segment import Segment
from nanochat.reading.documents import PDF, PDFIUM, POINTS, Document
from nanochat.reading.page import Page, Part, TextLine

LAYER = "text layer"
"""key in the `info` of a page's image under which its layer is stored"""

INVISIBLE = 3  # PDF's text rendering mode: neither filled nor stroked
FAINT = 16  # of 255: opacity below which text is invisible
NO_INK = 8  # grey levels: a word in whose box the page varies less is not visible
LIES_ON = 0.2  # share of a line's box from which words lie on it

SegmentIndex = tuple[int, int]
"""number of a detected line, and of a segment of it"""


@dataclass(frozen=True)
class LayerWord:
    """One word of a text layer."""

    text: str
    box: Box
    """box in pixels of the page's image"""


@dataclass(frozen=True)
class TextLayer:
    """The text layer of one page."""

    words: tuple[LayerWord, ...]
    """words in the order of the file"""
    broken: float
    """share of invalid characters"""
    hidden: bool
    """whether most of the text is invisible, like that added by a scanner"""

    def to_dict(self) -> dict:
        """As a dict for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, known: dict) -> "TextLayer":
        """The inverse of `to_dict`, also after a trip through JSON."""
        words = tuple(LayerWord(word["text"], tuple(word["box"])) for word in known["words"])
        return cls(words, known["broken"], known["hidden"])


def read_layer(document: PDF, number: int, dpi: float) -> TextLayer:
    """The text layer of page `number`, from 1; without words if the page has none or is broken.

    `dpi`: the resolution at which the image of the page was rendered, to which the boxes of the words refer. For a
    scan, it can differ from that of the document.
    """
    with PDFIUM:
        try:
            page = document.document[number - 1]
            layer = page.get_textpage()
            try:
                height = page.get_size()[1]
                characters = [chr(pdfium_c.FPDFText_GetUnicode(layer, i)) for i in range(layer.count_chars())]
                boxes = [layer.get_charbox(i) for i in range(len(characters))]
                hidden = _share_hidden(page)
                if hidden <= 0.5:  # the rest is not what the page shows
                    painted = [i for i in range(len(characters)) if not _is_invisible(layer, i)]
                    characters, boxes = [characters[i] for i in painted], [boxes[i] for i in painted]
            finally:
                layer.close()
                page.close()
        except pdfium.PdfiumError:
            return TextLayer((), 0.0, False)
    words, scale = [], dpi / POINTS
    start: int | None = None
    for i, character in enumerate([*characters, " "]):
        blank = character.isspace() or character == "\0"
        if not blank and start is None:
            start = i
        elif blank and start is not None:
            text = unicodedata.normalize("NFKC", "".join(characters[start:i]).replace("\x02", "-"))
            found = [box for box in boxes[start:i] if box[2] > box[0]] or boxes[start:i]
            left, bottom, right, top = (f(b[k] for b in found) for k, f in enumerate((min, min, max, max)))
            box = (
                round(left * scale),
                round((height - top) * scale),
                round(right * scale),
                round((height - bottom) * scale),
            )
            words.append(LayerWord(text, box))
            start = None
    printed = [c for c in characters if not c.isspace() and c not in "\0\x02"]
    wrong = sum(unicodedata.category(c) in ("Co", "Cc", "Cn") or c == "\ufffd" for c in printed)
    return TextLayer(_without_repeats(words), wrong / max(1, len(printed)), hidden > 0.5)


def load_page(document: Document, number: int, most: int = MAX_PIXELS, layer: bool = False) -> Image.Image:
    """Page `number`, from 1, as RGB, of at most `most` pixels. `layer`: with its text layer in `info[LAYER]`, if a PDF.

    Raises UserError if it is broken or too large.
    """
    picture = document.load(number, most)
    if layer and isinstance(document, PDF):
        picture.info[LAYER] = read_layer(document, number, picture.info["dpi"][0])
    return picture


def _without_repeats(words: Sequence[LayerWord]) -> tuple[LayerWord, ...]:
    """The words, without those printed again at the same place, as some programs do to make them bold."""
    kept: dict[str, list[LayerWord]] = {}
    found = []
    for word in words:
        alike = kept.setdefault(word.text, [])
        if not any(_on(word, other.box) for other in alike):
            alike.append(word)
            found.append(word)
    return tuple(found)


def _share_hidden(page: pdfium.PdfPage) -> float:
    """Share of the page's text objects that are invisible."""
    modes = [
        pdfium_c.FPDFTextObj_GetTextRenderMode(thing)
        for thing in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_TEXT], max_depth=4)
    ]
    return sum(mode == INVISIBLE for mode in modes) / max(1, len(modes))


def _is_invisible(layer: pdfium.PdfTextPage, i: int) -> bool:
    """Whether character `i` is not painted: transparent, or in the rendering mode for invisible text."""
    thing = pdfium_c.FPDFText_GetTextObject(layer, i)
    if not thing:  # a space between two words, which is not in the file
        return False
    mode = pdfium_c.FPDFTextObj_GetTextRenderMode(thing)
    red, green, blue, opacity = (ctypes.c_uint() for _ in range(4))
    if mode != 0 or not pdfium_c.FPDFText_GetFillColor(layer, i, red, green, blue, opacity):
        return bool(mode == INVISIBLE)
    return opacity.value < FAINT


def visible_words(layer: TextLayer, picture: Image.Image) -> TextLayer:
    """A text layer without the words that leave no ink on the RGB image of their page, such as white on white."""
    grey = np.asarray(picture.convert("L"))

    def has_ink(box: Box) -> bool:
        left, top, right, bottom = box
        inside = grey[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1]
        return inside.size > 0 and int(inside.max()) - int(inside.min()) >= NO_INK

    return replace(layer, words=tuple(word for word in layer.words if has_ink(word.box)))


def _on(word: LayerWord, box: Box) -> bool:
    """Whether the centre of a word is inside a box."""
    x, y = (word.box[0] + word.box[2]) / 2, (word.box[1] + word.box[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


@dataclass(frozen=True)
class Laid:
    """The words of a text layer, laid on the detected lines of the page."""

    layer: TextLayer
    lines: Sequence[Line]
    stretches: Mapping[SegmentIndex, tuple[str, Box]]
    """text and box of the words on each segment that has any"""
    stray: Sequence[LayerWord]
    """words that are on no line"""
    bare: Mapping[SegmentIndex, Segment]
    """segments without words"""

    @property
    def texts(self) -> dict[int, str]:
        """The text of each line that has words, by its number."""
        found: dict[int, str] = {}
        for (row, _), (text, _) in sorted(self.stretches.items()):
            found[row] = f"{found[row]} {text}" if row in found else text
        return found


def lay_on(layer: TextLayer, lines: Sequence[Line]) -> Laid:
    """Lay the words of a text layer on the detected lines of its page.

    A word belongs to the segment of a line whose middle is nearest to its own, among those that it lies on.
    """
    places = {(row, k): segment for row, line in enumerate(lines) for k, segment in enumerate(line.segments)}
    found: dict[SegmentIndex, list[LayerWord]] = {}
    stray = []
    for word in layer.words:
        on = [place for place, segment in places.items() if _on(word, segment.box)]
        if not on:
            stray.append(word)
            continue
        middle = word.box[1] + word.box[3]
        nearest = min(on, key=lambda place: abs(places[place].box[1] + places[place].box[3] - middle))
        found.setdefault(nearest, []).append(word)
    stretches = {}
    for place, some in found.items():
        words = sorted(some, key=lambda word: word.box[0], reverse=_is_right_to_left(some))
        stretches[place] = " ".join(word.text for word in words), union(word.box for word in words)
    taken = [word.box for word in layer.words]
    bare = {p: s for p, s in places.items() if p not in stretches and shares_covered(s.box, taken).sum() < LIES_ON}
    return Laid(layer, lines, stretches, stray, bare)


def _is_right_to_left(words: Sequence[LayerWord]) -> bool:
    """Whether most letters of the words are Arabic, Hebrew or of another alphabet written from right to left."""
    letters = [unicodedata.bidirectional(c) for word in words for c in word.text if c.isalpha()]
    return sum(direction in ("R", "AL") for direction in letters) > len(letters) / 2


def layer_page(laid: Laid, size: tuple[int, int], read: Mapping[SegmentIndex, TextLine] | None = None) -> Page:
    """The page made from its text layer, in the reading order of its detected lines; words on none of them come last.

    `size`: width and height of the page's image in pixels. `read`: what was read on segments without words.
    """
    read = read or {}
    rows: dict[int, list[TextLine]] = {}
    for place in sorted({*laid.stretches, *read}):
        rows.setdefault(place[0], []).append(read[place] if place in read else _line(*laid.stretches[place]))
    lines = [_joined(row) for row in rows.values()]
    if laid.stray:
        lines.append(_line(" ".join(word.text for word in laid.stray), union(word.box for word in laid.stray)))
    return Page(
        text="\n".join(line.text for line in lines), vision_tokens=0, most_vision_tokens=0, tokens=0, seconds=0.0,
        stopped="end", mode="text-layer", text_source="text-layer", views=0, width=size[0], height=size[1], lines=lines,
    )  # fmt: skip


def _line(text: str, box: Box) -> TextLine:
    return TextLine(text, box, 1.0, 1.0, parts=[Part(text, box)])


def _joined(row: Sequence[TextLine]) -> TextLine:
    """One line made from its parts, from left to right."""
    parts = [part for line in row for part in line.parts]
    text, box = " ".join(line.text for line in row), union(part.box for part in parts)
    return TextLine(
        text, box, min(line.mean_probability for line in row), min(line.min_probability for line in row), parts=parts
    )
