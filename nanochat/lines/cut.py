"""Mode `lines`: cut a page into its lines of text, each a view of its own, for a model that reads small images.

nano reads single lines of up to 512 x 64 pixels best; a receipt scaled to a page view of 512 pixels would have letters
of 6 pixels. So the lines of the page are detected (`finder.py`, `layout.py`). Each segment of a line is straightened,
scaled to the type height that nano was trained on, and placed on a background of its own paper colour. Segments that
are too long are cut at their widest gaps. The answers are joined with spaces within a line and newlines between lines,
and the bounding box of each line on the page is kept.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

import cv2
import numpy as np
from PIL import Image

from nanochat.image_process import paper_colour
from nanochat.lines.boxes import Box
from nanochat.lines.ground import level_strip
from nanochat.lines.gutters import runs
from nanochat.lines.layout import Line
from nanochat.lines.quantiles import median, percentiles
from nanochat.lines.segment import ABOVE, BELOW, Segment, text_box
from nanochat.modes import SIDE_STEP

HEIGHT = SIDE_STEP  # height of a view in pixels
TYPE_HEIGHT = 26  # target type height, ascenders to descenders; nano is trained on 15 to 40
LEAST_HEIGHT = 19  # a long line is scaled down to this type height before it is cut
MARGIN = 6  # padding left and right of a line in pixels
ROOM = 0.12  # padding above ascenders and below descenders in type heights; twice that at the ends
WORD_GAP = 0.25  # least gap between words in type heights; next to a 1, a gap within a word can be 0.22
FIXED_GAP = 0.9  # in type of one width: least gap between words, relative to the distance of its letters
FEWEST_LETTERS, UNEVEN, MOSTLY = 12, 0.15, 0.85  # letters at equal distances: least number, tolerance, least share
LEAST_CONTRAST, FULL = 32, 0.97  # grey levels of a rule, and the share of a strip's height that it fills
THICKEST, THICK = 3, 0.12  # greatest thickness of a rule in px, or in type heights if that is more
MOST_ENLARGED = 4.0
LETTER_OF = {"0": "O", "1": "I", "|": "I", "l": "I"}  # what a drop cap may be read as -> the capital that it is


@dataclass
class Course:
    """The position on the page of the line that a piece shows."""

    middles: np.ndarray = field(repr=False)
    """(W, 2): x and y on the page of the middle of its type, for each column of the piece's image from MARGIN on"""
    scale: float
    """pixels of the image per pixel of the page"""
    middle: float
    """row of the image with the middle of its type"""

    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map points (N, 2), x and y on the page, to the image, (N, 2); and whether each is between its ends, (N,)."""
        along = self.middles[-1] - self.middles[0]
        along = along / max(float(np.hypot(*along)), 1e-6)
        columns = np.abs((points[:, None] - self.middles[None]) @ along).argmin(1)
        offsets = points - self.middles[columns]
        x = columns + (offsets @ along) * self.scale
        y = self.middle + (offsets @ np.array([-along[1], along[0]])) * self.scale
        return np.stack([x + MARGIN, y], 1), (x > -0.5) & (x < len(self.middles) - 0.5)


@dataclass
class Piece:
    """The image of a line, or of a part of one."""

    picture: Image.Image
    """RGB, sides are multiples of 64, shown to the model without scaling"""
    row: int
    """index of the line on the page, from 0"""
    box: Box
    """bounding box in pixels of the page"""
    course: Course | None = None
    """None for a page without lines, which is shown as if it were a single line"""
    goes_on: bool = False
    """whether its first word begins in the previous piece, so that no space is inserted between them"""
    is_initial: bool = False
    """whether it shows a drop cap, whose word continues in the next piece"""


def _straight(page: np.ndarray, segment: Segment, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Straighten a segment. Returns its strip, RGB, and x, y on the page of the middle of each column, (W, 2)."""
    (x0, y0), angle = segment.ends[0], segment.angle
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    margin = 2 * ROOM * segment.height
    columns = max(1, round((segment.length / np.cos(angle) + 2 * margin) * scale))
    chord = segment.ends[0] + ((np.arange(columns) + 0.5) / scale - margin)[:, None] * along
    x = np.clip(chord[:, 0], x0, x0 + segment.length)
    bend = (segment.y_at(x) - y0 - (x - x0) * np.tan(angle)) * np.cos(angle)
    middles = chord + bend[:, None] * across
    rows = max(1, round((ABOVE + BELOW + 2 * ROOM) * segment.height * scale))
    offsets = (np.arange(rows) + 0.5) / scale - (ABOVE + ROOM) * segment.height
    x, y = (middles[:, axis] + offsets[:, None] * across[axis] for axis in range(2))  # (rows, columns) each
    left, top = max(0, int(np.floor(x.min())) - 2), max(0, int(np.floor(y.min())) - 2)
    right, bottom = min(page.shape[1], int(np.ceil(x.max())) + 3), min(page.shape[0], int(np.ceil(y.max())) + 3)
    window = page[top : max(bottom, top + 1), left : max(right, left + 1)]
    x, y = x - left, y - top
    if scale < 1:  # scale down first, or fine strokes would fall between the sampled points
        size = max(1, round(window.shape[1] * scale)), max(1, round(window.shape[0] * scale))
        x, y = (x + 0.5) * (size[0] / window.shape[1]) - 0.5, (y + 0.5) * (size[1] / window.shape[0]) - 0.5
        window = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
    x, y = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(window, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), middles


def _brightness(strip: np.ndarray) -> np.ndarray:
    """Three times the brightness of the pixels of a strip, RGB uint8 (H, W, 3): uint16 (H, W)."""
    return strip[..., 0].astype(np.uint16) + strip[..., 1] + strip[..., 2]  # far faster than a sum over the last axis


def without_rules(strip: np.ndarray, type_height: float) -> np.ndarray:
    """A strip, RGB uint8 (H, W, 3), without the vertical rules between its cells, which would be read as | or 1.

    Rules go on above and below the letters. type_height: in px.
    """
    grey = _brightness(strip)
    contrast = np.abs(grey.astype(np.int16) - median(grey)) / 3
    dark = contrast > max(LEAST_CONTRAST, 0.35 * float(percentiles(contrast.max(0), (90,))[0]))
    rules = [(a, b) for a, b in runs(dark.mean(0) >= FULL) if b - a <= max(THICKEST, THICK * type_height)]
    if not rules:
        return strip
    clean, paper = strip.copy(), paper_colour(strip)
    for a, b in rules:
        clean[:, max(0, a - 1) : b + 1] = paper
    return clean


def _empty_columns(strip: np.ndarray) -> np.ndarray:
    """Which columns of a strip, RGB (H, W, 3), have no ink: bool (W,)."""
    grey = _brightness(strip)
    paper = median(grey)
    contrast = np.maximum(grey.max(0) - paper, paper - grey.min(0))
    return np.asarray(contrast < 0.35 * percentiles(contrast, (90,)))


def _cuts(gaps: list[tuple[int, int]], width: int, n: int) -> list[tuple[int, int]]:
    """(column, width of the gap there) of each cut of a strip into n parts: the widest gap near each n-th of it."""
    cuts: list[tuple[int, int]] = []
    for i in range(1, n):
        wanted, reach = width * i / n, width / n / 3
        near = [(b - a, -abs((a + b) / 2 - wanted), (a + b) // 2) for a, b in gaps if abs((a + b) / 2 - wanted) < reach]
        gap, _, column = max(near) if near else (0, 0, int(wanted))
        cuts.append((column, gap))
    return cuts


def _divide(strip: np.ndarray, most: int, type_height: float) -> tuple[list[int], list[bool]]:
    """(where parts of a strip of at most `most` px begin, and its end, in px; whether each begins within a word)."""
    width = strip.shape[1]
    n = ceil(width / most)
    if n <= 1:
        return [0, width], [False]
    empty = _empty_columns(strip)
    gaps = runs(empty)
    while True:
        cuts = _cuts(gaps, width, n)
        edges = [0, *(column for column, _ in cuts), width]
        if max(np.diff(edges)) <= most:
            break
        n += 1
    least = _least_word_gap(runs(~empty), type_height)
    return edges, [False, *(gap < least for _, gap in cuts)]


def _least_word_gap(letters: list[tuple[int, int]], type_height: float) -> float:
    """The width in px from which a gap between letters is a space between words.

    In type of one width, letters as narrow as i and : have wide gaps beside them, and a space is a whole letter more.
    """
    pitch = _pitch(letters)
    return max(WORD_GAP * type_height, FIXED_GAP * pitch if pitch < type_height else 0.0)


def _pitch(letters: list[tuple[int, int]]) -> float:
    """The distance of the letters in type of one width, in px; 0 if their widths differ."""
    middles = np.array([(a + b) / 2 for a, b in letters])
    if len(middles) < FEWEST_LETTERS:
        return 0.0
    steps = np.diff(middles)
    pitch = float(np.median(steps))
    even = np.abs(steps / max(pitch, 1.0) - np.round(steps / max(pitch, 1.0))) < UNEVEN
    return pitch if even.mean() >= MOSTLY else 0.0


def on_paper(strip: np.ndarray) -> Image.Image:
    """Place a strip in a view, vertically centred after a left margin, on a background of its own paper colour."""
    width = ceil((strip.shape[1] + 2 * MARGIN) / SIDE_STEP) * SIDE_STEP
    view = np.empty((HEIGHT, width, 3), np.uint8)
    view[:] = paper_colour(strip)
    above = (HEIGHT - strip.shape[0]) // 2
    view[above : above + strip.shape[0], MARGIN : MARGIN + strip.shape[1]] = strip
    return Image.fromarray(view)


def _blank_after(strip: np.ndarray, column: int) -> np.ndarray:
    """A strip, RGB uint8 (H, W, 3), with paper from a column on."""
    blank = strip.copy()
    blank[:, column:] = paper_colour(strip)
    return blank


def _pieces(page: np.ndarray, segment: Segment, row: int, most: int, type_height: float) -> list[Piece]:
    """Cut one segment into pieces of at most `most` pixels."""
    height, length = segment.height, segment.length + 4 * ROOM * segment.height
    scale = min(type_height / height, MOST_ENLARGED)
    if most < length * scale and most / length * height >= LEAST_HEIGHT:
        scale = 0.999 * most / length
    strip, middles = _straight(page, segment, scale)
    strip = without_rules(level_strip(strip, round(2 * height * scale)), height * scale)
    if segment.is_initial:  # the rest of its word is closer than the margin
        strip = _blank_after(strip, round((2 * ROOM * height + segment.length + 1) * scale))
    edges, goes_on = _divide(strip, most, height * scale)
    middle = (HEIGHT - len(strip)) // 2 + (ABOVE + ROOM) * height * scale - 0.5
    pieces = []
    for (a, b), inside in zip(pairwise(edges), goes_on, strict=True):
        left, top, right, bottom = text_box(middles[a:b], height)
        box = left, top, min(page.shape[1], right), min(page.shape[0], bottom)
        course = Course(middles[a:b], scale, middle)
        pieces.append(Piece(on_paper(strip[:, a:b]), row, box, course, inside, segment.is_initial))
    return pieces


def cut_lines(
    page: Image.Image, lines: list[Line], max_side: int = 512, type_height: float = TYPE_HEIGHT
) -> list[Piece]:
    """Cut an RGB page into lines in reading order, as pieces at most `max_side` wide, with type of `type_height`."""
    pixels = np.asarray(page)
    most = max_side - 2 * MARGIN
    return [
        p for row, line in enumerate(lines) for s in line.segments for p in _pieces(pixels, s, row, most, type_height)
    ]


def show_in_lines(page: Image.Image, lines: list[Line], max_side: int = 512) -> list[Piece]:
    """The pieces that mode `lines` shows of an RGB page: those of `cut_lines`, or the whole page if it has no lines."""
    return cut_lines(page, lines, max_side) or [as_one_line(page, max_side)]


def as_one_line(page: Image.Image, max_side: int = 512) -> Piece:
    """An RGB page without detected lines as one piece, scaled down to at most the height of a line.

    A model trained only on lines invents text for a larger blank image.
    """
    scale = min(1.0, HEIGHT / page.height, (max_side - 2 * MARGIN) / page.width)
    size = max(1, round(page.width * scale)), max(1, round(page.height * scale))
    return Piece(on_paper(np.asarray(page.resize(size, Image.Resampling.BOX))), 0, (0, 0, *page.size))


def join(texts: list[str], pieces: list[Piece]) -> str:
    """The text of a page: pieces joined with spaces, or nothing where a word was cut, and lines with newlines."""
    rows: dict[int, str] = {}
    initial: int | None = None  # the row that ends in a drop cap so far
    for text, piece in zip(texts, pieces, strict=True):
        part, before = " ".join(text.split()), rows.get(piece.row, "")
        if piece.is_initial:  # a single letter looks like a digit
            part = LETTER_OF.get(part, part)
        goes_on = piece.goes_on or (initial == piece.row and part[:1].isalpha())
        rows[piece.row] = before + ("" if goes_on or not before or not part else " ") + part
        initial = piece.row if piece.is_initial and len(part) == 1 and part.isalpha() else None
    return "\n".join(row for row in rows.values() if row)
