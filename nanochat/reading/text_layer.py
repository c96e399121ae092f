"""The text layer of a PDF page: its words and their positions, and whether it can be trusted.

The layer of a born-digital page is its exact text. That of a scan may be the output of the scanner's OCR, and some
pages have text in a broken encoding, or the text of another page. So a layer is used only if it agrees with the image
of its page: its words are on detected lines, the detected lines have words, and a sample of lines is read alike.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image
from rapidfuzz.distance import Levenshtein

from nanochat.lines.boxes import Box, union
from nanochat.lines.layout import Line, find_lines
from nanochat.reading.documents import PDF, PDFIUM, POINTS
from nanochat.reading.options import TextLayerMode
from nanochat.reading.page import Page, Part, TextLine
from nanochat.reading.shown import Lined

if TYPE_CHECKING:
    from nanochat.reading.ocr import OCR

LAYER = "text layer"
"""key in the `info` of a page's image under which its layer is stored"""

BROKEN = 0.02  # share of invalid characters (replacement, private, control) from which the encoding is broken
ON_INK = 0.85  # share of the words that must be on a detected line
COVERED = 0.85  # share of the detected lines, by length, that must have words
SAMPLE = 6  # number of lines that are read for comparison
AGREE_VISIBLE = 0.30  # largest error rate between a visible layer and what the model reads
AGREE_HIDDEN = 0.04  # the same for invisible text, which another OCR wrote: ours is used unless both agree
INVISIBLE = 3  # PDF's text rendering mode: neither filled nor stroked


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


@dataclass(frozen=True)
class Decision:
    """Whether the text layer of a page is used, and why."""

    use: bool
    why: str


@dataclass(frozen=True)
class LayerLine:
    """A detected line with the words of the layer on it, as parts with blank space between them."""

    stretches: tuple[tuple[str, Box], ...]

    @property
    def text(self) -> str:
        return " ".join(text for text, _ in self.stretches)

    @property
    def box(self) -> Box:
        return union(box for _, box in self.stretches)


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
    return TextLayer(tuple(words), wrong / max(1, len(printed)), hidden > 0.5)


def _share_hidden(page: pdfium.PdfPage) -> float:
    """Share of the page's text objects that are invisible."""
    modes = [
        pdfium_c.FPDFTextObj_GetTextRenderMode(thing)
        for thing in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_TEXT], max_depth=4)
    ]
    return sum(mode == INVISIBLE for mode in modes) / max(1, len(modes))


def _on(word: LayerWord, box: Box) -> bool:
    """Whether the centre of a word is inside a box."""
    x, y = (word.box[0] + word.box[2]) / 2, (word.box[1] + word.box[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def lay_on(layer: TextLayer, lines: Sequence[Line]) -> tuple[dict[int, LayerLine], int]:
    """(number of each detected line -> its words, if it has any; how many words are on no line).

    A word belongs to the segment of a line whose middle is nearest to its own, among those that it lies on.
    """
    places = [(row, segment.box) for row, line in enumerate(lines) for segment in line.segments]
    found: dict[int, list[LayerWord]] = {}
    stray = 0
    for word in layer.words:
        on = [k for k, (_, box) in enumerate(places) if _on(word, box)]
        if not on:
            stray += 1
            continue
        middle = word.box[1] + word.box[3]
        nearest = min(on, key=lambda k: abs(places[k][1][1] + places[k][1][3] - middle))
        found.setdefault(nearest, []).append(word)
    rows: dict[int, list[tuple[str, Box]]] = {}
    for k in sorted(found):
        words = sorted(found[k], key=lambda word: word.box[0])
        stretch = " ".join(word.text for word in words), union(word.box for word in words)
        rows.setdefault(places[k][0], []).append(stretch)
    return {row: LayerLine(tuple(stretches)) for row, stretches in rows.items()}, stray


def judge(layer: TextLayer, lines: Sequence[Line], read: Callable[[list[Line]], list[str]] | None) -> Decision:
    """Whether the layer is the text of the page with these detected lines.

    `read`: reads the text of lines from the image; it gets at most SAMPLE of them. Without it, only positions are
    compared.
    """
    if not layer.words:
        return Decision(False, "the page carries no text of its own")
    if layer.broken > BROKEN:
        return Decision(False, f"its own text is in a broken encoding ({layer.broken:.0%} of the characters)")
    if not lines:
        return Decision(False, "its own text lies where no text is seen")
    found, stray = lay_on(layer, lines)
    if stray > (1 - ON_INK) * len(layer.words):
        return Decision(False, f"its own text lies where no text is seen ({stray} of {len(layer.words)} words)")
    widths = [line.box[2] - line.box[0] for line in lines]
    covered = sum(widths[row] for row in found) / max(1, sum(widths))
    if covered < COVERED:
        return Decision(False, f"its own text leaves {1 - covered:.0%} of the lines out")
    some = _spread([row for row, line in sorted(found.items()) if len(line.text) >= 4], SAMPLE)
    if not some or read is None:
        return Decision(True, "its own text lies on its lines")
    wrong = sorted(
        Levenshtein.normalized_distance("".join(seen.split()), "".join(found[row].text.split()))
        for row, seen in zip(some, read([lines[row] for row in some]), strict=True)
    )
    error = wrong[len(wrong) // 2]
    if error > (AGREE_HIDDEN if layer.hidden else AGREE_VISIBLE):
        return Decision(False, f"its own text differs from what is seen ({error:.0%} of the characters)")
    return Decision(True, "its own text agrees with what is seen")


def _spread(rows: Sequence[int], n: int) -> list[int]:
    """At most `n` of the rows, spread evenly over the page."""
    step = max(1.0, len(rows) / n)
    return [rows[int(k * step)] for k in range(min(n, len(rows)))]


def layer_page(layer: TextLayer, lines: Sequence[Line], size: tuple[int, int]) -> Page:
    """The page made from its text layer, in the reading order of its detected lines; words on none of them come last.

    `size`: width and height of the page's image in pixels.
    """
    found, stray = lay_on(layer, lines)
    texts = [
        TextLine(line.text, line.box, 1.0, 1.0, parts=[Part(text, box) for text, box in line.stretches])
        for _, line in sorted(found.items())
    ]
    if stray:
        boxes = [segment.box for line in lines for segment in line.segments]
        left = [word for word in layer.words if not any(_on(word, box) for box in boxes)]
        text, box = " ".join(word.text for word in left), union(word.box for word in left)
        texts.append(TextLine(text, box, 1.0, 1.0, parts=[Part(text, box)]))
    return Page(
        text="\n".join(line.text for line in texts), vision_tokens=0, most_vision_tokens=0, tokens=0, seconds=0.0,
        stopped="end", mode="text-layer", text_source="text-layer", views=0, width=size[0], height=size[1], lines=texts,
    )  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """Why a text layer is not used. `picture`: the page with its lines, which need not be detected again."""

    why: str
    picture: Lined


def own_text(reader: "OCR", picture: Image.Image, mode: TextLayerMode) -> Page | Refused | None:
    """The page made from the text layer of an image; the reason if it is not used, or None if there is none.

    `picture`: a page of a PDF as `read_ahead` opens it, with its layer in `info`. Mode `only` takes any layer.
    """
    layer: TextLayer | None = picture.info.get(LAYER)
    if mode == "never" or layer is None:
        return None
    if not layer.words:
        return layer_page(layer, [], picture.size) if mode == "only" else None
    lines = find_lines(picture)
    if mode == "only":
        return layer_page(layer, lines, picture.size)
    sample = (lambda some: reader.read_lines(picture, some)) if "lines" in reader.taught else None
    decision = judge(layer, lines, sample)
    if decision.use:
        return layer_page(layer, lines, picture.size)
    return Refused(f"{decision.why}: the picture was read", Lined(picture, lines))
