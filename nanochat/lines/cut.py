"""Mode `lines`: a page cut into its lines of text, each a small view of its own, for a model of small pictures.

nano learns single lines of up to 512 x 64 pixels best; a receipt shrunk to its 512-pixel page would have letters of 6
pixels. So the page's lines are found (`line_finder.py`, `layout.py`), each stretch of text is made straight and level,
scaled so that its letters have the size that nano was trained on, and laid alone on a piece of paper in its own colour;
one that is too long is cut at its widest gaps. The answers are joined with spaces along a line and with line ends
between lines; the box of each line in the page comes with them.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

import cv2
import numpy as np
from PIL import Image

from nanochat.image_process import paper_colour
from nanochat.lines.boxes import Box
from nanochat.lines.finder import ABOVE, BELOW, Segment, text_box
from nanochat.lines.ground import level_strip
from nanochat.lines.gutters import runs
from nanochat.lines.layout import Line
from nanochat.modes import SIDE_STEP

HEIGHT = SIDE_STEP  # of a view in pixels
TYPE_HEIGHT = 26  # wanted height of the type, ascenders to descenders: the middle of what nano learns (15 to 40)
LEAST_HEIGHT = 19  # a line may be shrunk to this rather than be cut
MARGIN = 6  # paper left and right of a line in pixels
ROOM = 0.12  # of the type's height: what is shown above ascenders and below descenders, and twice that at the ends
WORD_GAP = 0.25  # of the type's height: least gap between words; beside a 1 there may be 0.22 within one
MOST_ENLARGED = 4.0


@dataclass
class Course:
    """Where the line that a piece shows runs in its page."""

    middles: np.ndarray = field(repr=False)
    """(W, 2): x and y in the page of the middle of its type, for each column of the picture from MARGIN on"""
    scale: float
    """pixels of the picture for one of the page"""
    middle: float
    """row of the picture in which the middle of its type lies"""

    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points (N, 2), x and y in the page, lie in the picture, (N, 2); and whether between its ends, (N,)."""
        along = self.middles[-1] - self.middles[0]
        along = along / max(float(np.hypot(*along)), 1e-6)
        columns = np.abs((points[:, None] - self.middles[None]) @ along).argmin(1)
        offsets = points - self.middles[columns]
        x = columns + (offsets @ along) * self.scale
        y = self.middle + (offsets @ np.array([-along[1], along[0]])) * self.scale
        return np.stack([x + MARGIN, y], 1), (x > -0.5) & (x < len(self.middles) - 0.5)


@dataclass
class Piece:
    """A line, or a part of one."""

    picture: Image.Image
    """RGB, sides multiples of 64, ready to be shown as it is"""
    row: int
    """number of the line on the page, from 0"""
    box: Box
    """in pixels of the page"""
    course: Course | None = None
    """None of a page without lines, which is shown as if it were one"""
    goes_on: bool = False
    """whether its first word began in the piece before: no space is where they were cut"""
    is_initial: bool = False
    """whether it shows a drop cap, whose word goes on in the next piece"""


def _straight(page: np.ndarray, segment: Segment, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A segment made level: its strip, RGB, and the place x, y in the page of the middle of each column, (W, 2)."""
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
    if scale < 1:  # made smaller first, or fine strokes would fall between the places
        size = max(1, round(window.shape[1] * scale)), max(1, round(window.shape[0] * scale))
        x, y = (x + 0.5) * (size[0] / window.shape[1]) - 0.5, (y + 0.5) * (size[1] / window.shape[0]) - 0.5
        window = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
    x, y = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(window, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), middles


def _cuts(strip: np.ndarray, n: int) -> list[tuple[int, int]]:
    """(column, width of the gap there) of what cuts a strip into n parts: the widest gap near each n-th of it."""
    grey = strip[..., 0].astype(np.int32) + strip[..., 1] + strip[..., 2]  # far faster than a sum over the last axis
    contrast = np.abs(grey - np.median(grey)).max(0)
    empty = contrast < 0.35 * np.percentile(contrast, 90)
    gaps = runs(empty)
    width, cuts = strip.shape[1], list[tuple[int, int]]()
    for i in range(1, n):
        wanted, reach = width * i / n, width / n / 3
        near = [(b - a, -abs((a + b) / 2 - wanted), (a + b) // 2) for a, b in gaps if abs((a + b) / 2 - wanted) < reach]
        gap, _, column = max(near) if near else (0, 0, int(wanted))
        cuts.append((column, gap))
    return cuts


def _on_paper(strip: np.ndarray) -> Image.Image:
    """A strip in the middle of a view's height, a margin from its left, on paper of its own colour."""
    width = ceil((strip.shape[1] + 2 * MARGIN) / SIDE_STEP) * SIDE_STEP
    view = np.empty((HEIGHT, width, 3), np.uint8)
    view[:] = paper_colour(strip)
    above = (HEIGHT - strip.shape[0]) // 2
    view[above : above + strip.shape[0], MARGIN : MARGIN + strip.shape[1]] = strip
    return Image.fromarray(view)


def _pieces(page: np.ndarray, segment: Segment, row: int, most: int, type_height: float) -> list[Piece]:
    """One segment as pieces of at most `most` pixels."""
    height, length = segment.height, segment.length + 4 * ROOM * segment.height
    scale = min(type_height / height, MOST_ENLARGED)
    if most < length * scale and most / length * height >= LEAST_HEIGHT:
        scale = 0.999 * most / length
    strip, middles = _straight(page, segment, scale)
    strip = level_strip(strip, round(2 * height * scale))
    n, edges, cuts = ceil(strip.shape[1] / most), [0, strip.shape[1]], list[tuple[int, int]]()
    while n > 1:
        cuts = _cuts(strip, n)
        edges = [0, *(column for column, _ in cuts), strip.shape[1]]
        if max(np.diff(edges)) <= most:
            break
        n += 1
    middle = (HEIGHT - len(strip)) // 2 + (ABOVE + ROOM) * height * scale - 0.5
    goes_on = [False, *(gap < WORD_GAP * height * scale for _, gap in cuts)]
    pieces = []
    for (a, b), inside in zip(pairwise(edges), goes_on, strict=True):
        left, top, right, bottom = text_box(middles[a:b], height)
        box = left, top, min(page.shape[1], right), min(page.shape[0], bottom)
        course = Course(middles[a:b], scale, middle)
        pieces.append(Piece(_on_paper(strip[:, a:b]), row, box, course, inside, segment.is_initial))
    return pieces


def cut_lines(
    page: Image.Image, lines: list[Line], max_side: int = 512, type_height: float = TYPE_HEIGHT
) -> list[Piece]:
    """The lines of an RGB page, in their order, as pieces no wider than `max_side`, their type made `type_height`."""
    pixels = np.asarray(page)
    most = max_side - 2 * MARGIN
    return [
        p for row, line in enumerate(lines) for s in line.segments for p in _pieces(pixels, s, row, most, type_height)
    ]


def show_in_lines(page: Image.Image, lines: list[Line], max_side: int = 512) -> list[Piece]:
    """What mode `lines` shows of an RGB page: its lines as `cut_lines` cuts them; the page as one where it has none."""
    return cut_lines(page, lines, max_side) or [as_one_line(page, max_side)]


def as_one_line(page: Image.Image, max_side: int = 512) -> Piece:
    """An RGB page on which no line was found as one piece, made so small that it is as high as a line at most.

    A model that has learnt lines alone makes up text where it is shown a blank sheet of a larger size.
    """
    scale = min(1.0, HEIGHT / page.height, (max_side - 2 * MARGIN) / page.width)
    size = max(1, round(page.width * scale)), max(1, round(page.height * scale))
    return Piece(_on_paper(np.asarray(page.resize(size, Image.Resampling.BOX))), 0, (0, 0, *page.size))


def join(texts: list[str], pieces: list[Piece]) -> str:
    """The page's text: pieces of a line with spaces between them, none where a word was cut, lines below each other."""
    rows: dict[int, str] = {}
    initial: int | None = None  # the row that ends in a drop cap so far
    for text, piece in zip(texts, pieces, strict=True):
        part, before = " ".join(text.split()), rows.get(piece.row, "")
        goes_on = piece.goes_on or (initial == piece.row and part[:1].isalpha())
        rows[piece.row] = before + ("" if goes_on or not before or not part else " ") + part
        initial = piece.row if piece.is_initial and len(part) == 1 and part.isalpha() else None
    return "\n".join(row for row in rows.values() if row)
