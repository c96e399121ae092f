"""Mode `lines`: a page cut into its lines of text, each a small view of its own, for a model of small pictures.

nano learns single lines of up to 512 x 64 pixels best; a receipt shrunk to its 512-pixel page would have letters of 6
pixels. So the page is set level, its lines are found (`ink.py`), each is scaled so that its letters have the size that
nano was trained on, and laid alone on a piece of paper in the page's own colour. What stands far apart on a line is
shown apart, and a run that is too long is cut at its widest gaps. The answers are joined with spaces along a line and
with line ends between lines; the box of each line in the page comes with them.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, cos, radians, sin

import numpy as np
from PIL import Image

from nanochat.image_process import paper_colour
from nanochat.ink import Box, Line, find_lines, ink_map, skew, union
from nanochat.modes import TOKEN_PIXELS

HEIGHT = TOKEN_PIXELS  # of a view in pixels
TEXT_HEIGHT = 19  # wanted height of a line's ink in pixels: type of about 21, the middle of what nano learns (12 to 32)
LEAST_HEIGHT = 14  # a line may be shrunk to this rather than be cut
MOST_HEIGHT = 30  # what is set larger on the page stays larger, up to this
WIDE_GAP = 1.5  # heights of a line's ink: what stands further apart, such as a price, is a piece of its own
MARGIN = 6  # paper left and right of the ink in pixels
MOST_ENLARGED = 4.0
LEAST_SKEW = 0.4  # degrees: less is not worth a rotation's blur


@dataclass
class Piece:
    """A line, or a part of one."""

    picture: Image.Image
    """RGB, sides multiples of 64, ready to be shown as it is"""
    row: int
    """number of the line on the page, from 0"""
    box: Box
    """in pixels of the page as it came"""


@dataclass(frozen=True)
class Level:
    """A page turned level, what was found on it, and the way back."""

    page: Image.Image
    angle: float
    original: tuple[int, int]
    ink: np.ndarray
    """bool (H, W) of the level page"""
    lines: list[Line]
    """in pixels of the level page, in reading order"""

    def back(self, box: Box) -> Box:
        """A box of the level page in pixels of the original."""
        if not self.angle:
            return box
        turn, (width, height) = radians(self.angle), self.original
        corners = [(x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
        moved = []
        for x, y in corners:
            dx, dy = x - self.page.width / 2, y - self.page.height / 2
            moved.append((dx * cos(turn) - dy * sin(turn) + width / 2, dx * sin(turn) + dy * cos(turn) + height / 2))
        xs, ys = zip(*moved)
        left, top = max(0, round(min(xs))), max(0, round(min(ys)))
        return left, top, max(left + 1, min(width, round(max(xs)))), max(top + 1, min(height, round(max(ys))))


def set_level(image: Image.Image) -> Level:
    """An RGB page turned so that its lines run level, with its ink and its lines."""
    ink = ink_map(image)
    angle = -skew(ink)  # what PIL must turn it by, against the clock
    if abs(angle) < LEAST_SKEW:
        return Level(image, 0.0, image.size, ink, find_lines(ink))
    level = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=paper_colour(image))
    ink = ink_map(level)
    return Level(level, angle, image.size, ink, find_lines(ink))


def _gaps(ink: np.ndarray, box: Box) -> list[tuple[int, int]]:
    """The empty runs of columns in a box: first column, and the first after, in pixels from its left."""
    left, top, right, bottom = box
    empty = ~ink[top:bottom, left:right].any(0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], empty.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]


def _runs(line: Line, ink: np.ndarray) -> list[Box]:
    """The boxes of what stands far apart in a line."""
    left, top, right, bottom = line.box
    wide = [(a, b) for a, b in _gaps(ink, line.box) if b - a > WIDE_GAP * (bottom - top)]
    starts = [left, *(left + b for _, b in wide)]
    ends = [*(left + a for a, _ in wide), right]
    return [(a, top, b, bottom) for a, b in zip(starts, ends) if b > a]


def _gap_cuts(ink: np.ndarray, box: Box, n: int) -> list[int]:
    """Columns, in pixels of the page, that cut a line into n parts: in the widest gap near each n-th of it."""
    left, width, gaps = box[0], box[2] - box[0], _gaps(ink, box)
    cuts = []
    for i in range(1, n):
        wanted, reach = width * i / n, width / n / 3
        near = [(b - a, -abs((a + b) / 2 - wanted), (a + b) // 2) for a, b in gaps if abs((a + b) / 2 - wanted) < reach]
        cuts.append(left + int(max(near)[2] if near else wanted))
    return cuts


def _parts(box: Box, ink: np.ndarray, scale: float, most: int) -> list[Box]:
    """The boxes of a run's parts: the whole, or as few as fit in `most` pixels each at this scale."""
    n = ceil((box[2] - box[0]) * scale / most)
    if n <= 1:
        return [box]
    while True:
        edges = [box[0], *_gap_cuts(ink, box, n), box[2]]
        parts = [(a, box[1], b, box[3]) for a, b in pairwise(edges) if ink[box[1] : box[3], a:b].any()]
        if all((b - a) * scale <= most * 1.1 for a, _, b, _ in parts) or n > 60:
            return parts
        n += 1


def _draw(page: Image.Image, part: Box, scale: float, most: int) -> Image.Image:
    """One part on paper of its own: scaled, in the middle of the height, a margin from the left."""
    left, top, right, bottom = part
    pad = min(3, max(1, round((bottom - top) * 0.1)))
    crop = page.crop(
        (max(0, left - pad), max(0, top - pad), min(page.width, right + pad), min(page.height, bottom + pad))
    )
    scale = min(scale, most / crop.width, (HEIGHT - 4) / crop.height)
    size = max(1, round(crop.width * scale)), max(1, round(crop.height * scale))
    width = ceil(min(most + 2 * MARGIN, size[0] + 2 * MARGIN) / TOKEN_PIXELS) * TOKEN_PIXELS
    view = Image.new("RGB", (width, HEIGHT), paper_colour(crop))
    view.paste(crop.resize(size, Image.Resampling.LANCZOS), (MARGIN, (HEIGHT - size[1]) // 2))
    return view


def _whole(lines: list[Line]) -> list[Line]:
    """Lines, those that overlap joined: in faint or dotted print a letter falls into parts that look like lines."""
    found: list[Line] = []
    for line in lines:
        while over := next((other for other in found if _overlap(line.box, other.box)), None):
            found.remove(over)
            line = Line(tuple(sorted(line.segments + over.segments)))
        found.append(line)
    return found


def _overlap(a: Box, b: Box) -> bool:
    shared = min(a[3], b[3]) - max(a[1], b[1])
    return min(a[2], b[2]) > max(a[0], b[0]) and shared > 0.5 * min(a[3] - a[1], b[3] - b[1])


def cut_lines(level: Level, max_side: int = 512) -> list[Piece]:
    """The lines of a level page in reading order as pieces no wider than `max_side`.

    None when it has no text.
    """
    lines, ink = level.lines, level.ink
    if level.page.height <= HEIGHT:  # one line, or two
        lines = _whole(lines)
    heights = [line.box[3] - line.box[1] for line in lines]
    body = float(np.median(heights)) if lines else 0.0
    if not lines:
        return []
    most = max_side - 2 * MARGIN
    pieces = []
    for row, (line, height) in enumerate(zip(lines, heights)):
        shown = TEXT_HEIGHT * min(max(height / body, LEAST_HEIGHT / TEXT_HEIGHT), MOST_HEIGHT / TEXT_HEIGHT)
        scale = min(shown / height, TEXT_HEIGHT / body * 1.5, MOST_ENLARGED)
        runs = _runs(line, ink)
        width = max(right - left for left, _, right, _ in runs)
        if most < width * scale and most / width * height >= LEAST_HEIGHT:
            scale = most / width
        for part in [part for run in runs for part in _parts(run, ink, scale, most)]:
            pieces.append(Piece(_draw(level.page, part, scale, most), row, level.back(part)))
    return pieces


def join(texts: list[str], pieces: list[Piece]) -> str:
    """The page's text: pieces of a line with spaces between them, lines below each other."""
    rows: dict[int, list[str]] = {}
    for text, piece in zip(texts, pieces, strict=True):
        rows.setdefault(piece.row, []).append(" ".join(text.split()))
    return "\n".join(" ".join(part for part in row if part) for row in rows.values() if any(row))


def line_boxes(pieces: list[Piece]) -> list[Box]:
    """The box of each line, from top to bottom."""
    rows: dict[int, list[Box]] = {}
    for piece in pieces:
        rows.setdefault(piece.row, []).append(piece.box)
    return [union(boxes) for boxes in rows.values()]
