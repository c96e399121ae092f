"""Whether the text layer of a PDF page can be trusted, and the page made from it if so.

The layer of a scan may be the output of the scanner's OCR, and some pages have text in a broken encoding, or the text
of another page. So a layer is used only if it agrees with the image of its page: its words are on detected lines, the
detected lines have words, and a sample of lines is read alike.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from PIL import Image
from rapidfuzz.distance import Levenshtein

from nanochat.lines.layout import Line, find_lines
from nanochat.reading.options import TextLayerMode
from nanochat.reading.page import Page
from nanochat.reading.shown import Lined
from nanochat.reading.standing import is_text
from nanochat.reading.text_layer import LAYER, Laid, LayerWord, TextLayer, lay_on, layer_page, visible_words

if TYPE_CHECKING:
    from nanochat.reading.ocr import OCR

BROKEN = 0.02  # share of invalid characters (replacement, private, control) from which the encoding is broken
ON_EACH_OTHER = 0.02  # share of the words that may lie on other words
ON_INK = 0.85  # share of the words that must be on a detected line
COVERED = 0.85  # share of the detected lines, by length, that must have words
SAMPLE = 6  # number of lines that are read for comparison; half of them are those with the most digits
AGREE_VISIBLE = 0.30  # largest error rate between a visible layer and what the model reads
AGREE_HIDDEN = 0.04  # the same for invisible text, which another OCR wrote: ours is used unless both agree
UNSURE = 0.97  # mean probability of what is read, below which letters of another alphabet may be what the page shows
SEEN_OFTEN, ALWAYS = 3, 0.7  # a character is mistaken if it is seen as another so often, and in this share
LOOK_ALIKE = ("0odq", "1ilj", "5s", "8b", "2z", "6g", "uv", "ce")  # characters that are often read as one another


@dataclass(frozen=True)
class Decision:
    """Whether the text layer of a page is used, and why."""

    use: bool
    why: str
    unchecked: bool = False
    """whether its text could not be compared with the image, which the model cannot read"""


class Seen(NamedTuple):
    """What the model reads on a line."""

    text: str
    mean_probability: float


def judge(laid: Laid, read: Callable[[list[Line]], list[Seen]] | None) -> Decision:
    """Whether a layer is the text of the page with the lines on which it is laid.

    `read`: reads the text of lines from the image; it gets at most SAMPLE of them. Without it, only positions are
    compared.
    """
    layer, lines = laid.layer, laid.lines
    if not layer.words:
        return Decision(False, "the page carries no text of its own")
    if layer.broken > BROKEN:
        return Decision(False, f"its own text is in a broken encoding ({layer.broken:.0%} of the characters)")
    if not lines:
        return Decision(False, "its own text lies where no text is seen")
    if len(laid.stray) > (1 - ON_INK) * len(layer.words):
        return Decision(
            False, f"its own text lies where no text is seen ({len(laid.stray)} of {len(layer.words)} words)"
        )
    doubled = _on_each_other(layer.words)
    if doubled > max(1, ON_EACH_OTHER * len(layer.words)):
        return Decision(False, f"{doubled} words of its own text lie on other words")
    texts = laid.texts
    widths = [line.box[2] - line.box[0] for line in lines]
    covered = sum(widths[row] for row in texts) / max(1, sum(widths))
    if covered < COVERED:
        return Decision(False, f"its own text leaves {1 - covered:.0%} of the lines out")
    some = _sample({row: text for row, text in sorted(texts.items()) if len(text) >= 4})
    if not some or read is None:
        return Decision(True, "its own text lies on its lines")
    seen = read([lines[row] for row in some])
    if _is_foreign("".join(texts[row] for row in some)) and np.mean([p for _, p in seen]) < UNSURE:
        return Decision(True, "its own text is in an alphabet that the model does not read", unchecked=True)
    pairs = [("".join(texts[row].split()), "".join(text.split())) for row, (text, _) in zip(some, seen, strict=True)]
    wrong = sorted(Levenshtein.normalized_distance(own, text) for own, text in pairs)
    error = wrong[len(wrong) // 2]
    if error > (AGREE_HIDDEN if layer.hidden else AGREE_VISIBLE):
        return Decision(False, f"its own text differs from what is seen ({error:.0%} of the characters)")
    mistaken = mistaken_characters(pairs)
    if mistaken:
        always = ", ".join(f"{own} where {seen} is seen" for own, seen in sorted(mistaken.items()))
        return Decision(False, f"its own text is in a broken encoding ({always})")
    return Decision(True, "its own text agrees with what is seen")


def _on_each_other(words: Sequence[LayerWord]) -> int:
    """How many words have their centre in another word of about the same height."""
    if not words:
        return 0
    left, top, right, bottom = np.array([word.box for word in words], np.float32).T
    x, y, height = (left + right) / 2, (top + bottom) / 2, np.maximum(1, bottom - top)
    found = 0
    for i in range(len(words)):
        inside = (left < x[i]) & (x[i] < right) & (top < y[i]) & (y[i] < bottom)
        alike = np.maximum(height, height[i]) < 1.5 * np.minimum(height, height[i])
        found += int((inside & alike).sum()) > 1  # more than the word itself
    return found


def _sample(texts: dict[int, str]) -> list[int]:
    """Lines to read, by their number: those with the most digits, and others spread evenly over the page."""
    digits = {row: sum(c.isdigit() for c in text) for row, text in texts.items()}
    most = [row for row in sorted(texts, key=lambda row: -digits[row])[: SAMPLE // 2] if digits[row]]
    return sorted([*most, *_spread([row for row in texts if row not in most], SAMPLE - len(most))])


def _spread(rows: Sequence[int], n: int) -> list[int]:
    """At most `n` of the rows, spread evenly."""
    step = max(1.0, len(rows) / n)
    return [rows[int(k * step)] for k in range(min(n, len(rows)))]


def mistaken_characters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Letters and digits of a text that are nearly always seen as the same other one: its encoding is broken.

    `pairs`: texts, and the same texts as they are seen. Mistakes of reading differ from place to place, except between
    characters that look alike, which do not count.
    """
    met: Counter[str] = Counter()
    seen_as: dict[str, Counter[str]] = {}
    for own, seen in pairs:
        met.update(own)
        for operation in Levenshtein.editops(own, seen):
            if operation.tag == "replace":
                a, b = own[operation.src_pos], seen[operation.dest_pos]
                if a.isalnum() and b.isalnum() and not _look_alike(a, b):
                    seen_as.setdefault(a, Counter())[b] += 1
    found = {a: others.most_common(1)[0] for a, others in seen_as.items()}
    return {a: b for a, (b, n) in found.items() if n >= max(SEEN_OFTEN, ALWAYS * met[a])}


def _is_foreign(text: str) -> bool:
    """Whether most letters of a text are not Latin."""
    letters = [c for c in text if c.isalpha()]
    return sum("LATIN" not in unicodedata.name(c, "") for c in letters) > len(letters) / 2


def _look_alike(a: str, b: str) -> bool:
    a, b = (unicodedata.normalize("NFKD", c)[0].lower() for c in (a, b))
    return a == b or any(a in some and b in some for some in LOOK_ALIKE)


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
        return layer_page(lay_on(layer, []), picture.size) if mode == "only" else None
    lines = find_lines(picture)
    if mode == "only":
        return layer_page(lay_on(layer, lines), picture.size)
    seen = visible_words(layer, picture)
    reads_lines = "lines" in reader.taught

    def read(some: list[Line]) -> list[Seen]:
        return [Seen(page.text, page.mean_probability) for page in reader.read_line_pages(picture, some)]

    laid = lay_on(seen, lines)
    decision = judge(lay_on(layer, lines) if layer.hidden else laid, read if reads_lines else None)
    if not decision.use:
        return Refused(f"{decision.why}: the picture was read", Lined(picture, lines))
    if decision.unchecked:
        page = layer_page(laid, picture.size)
        page.notes.append(f"{decision.why}: it was taken unchecked")
        return page
    return _with_bare_lines(reader, picture, laid) if laid.bare and reads_lines else layer_page(laid, picture.size)


Found = TypeVar("Found")
"""what a function that reads images returns for each: a Page, or an exception"""


def read_with_layers(
    reader: "OCR",
    pictures: Sequence[Image.Image],
    mode: TextLayerMode,
    read: Callable[[list[Image.Image | Lined]], Iterable[Found]],
) -> list[Page | Found]:
    """The page of each image: made from its text layer if that is used (`own_text`), else what `read` returns for it.

    `read`: called once, with the images whose layer is not used. Why it is not used is in the notes of the page.
    """
    own = [own_text(reader, picture, mode) for picture in pictures]
    to_read = [
        text.picture if isinstance(text, Refused) else picture
        for picture, text in zip(pictures, own, strict=True)
        if not isinstance(text, Page)
    ]
    results = iter(read(to_read))
    found: list[Page | Found] = []
    for text in own:
        result: Page | Found = text if isinstance(text, Page) else next(results)
        if isinstance(result, Page) and isinstance(text, Refused):
            result.notes.append(text.why)
        found.append(result)
    return found


def _with_bare_lines(reader: "OCR", picture: Image.Image, laid: Laid) -> Page:
    """The page made from its text layer, and from what is read on lines without words, such as a stamp."""
    places = sorted(laid.bare)
    pages = reader.read_line_pages(picture, [Line((laid.bare[place],)) for place in places])
    read = {place: page.lines[0] for place, page in zip(places, pages) if page.lines and is_text(page.lines[0])}
    page = layer_page(laid, picture.size, read)
    for other in pages:
        page.add_reading(other)
    if read:
        pieces = "one piece" if len(read) == 1 else f"{len(read)} pieces"
        page.notes.append(f"{pieces} of text missing from the page's own text, read from the picture")
    return page
