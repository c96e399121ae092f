"""Mode `blocks`: a page cut into paragraphs and columns, each a small view of several lines of text.

`cut.py` returns the lines straightened and scaled to the same type height; here they are stacked in reading order. A
new block begins after a gap, at another type size, at the top of the next column, and where the view would become too
tall. A line that is too wide for a view takes several rows of its block. The answer about a block has a row of text for
each row shown, from which the lines of the page are assembled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from PIL import Image

from nanochat.image_process import paper_colour
from nanochat.lines.boxes import Box, union
from nanochat.lines.cut import HEIGHT, MARGIN, TYPE_HEIGHT, Piece, as_one_line, cut_lines
from nanochat.lines.layout import Line
from nanochat.modes import SIDE_STEP
from nanochat.reading.ink_audit import ADVANCE

ROW = 40  # px from one row to the next: type of 26 px with the usual line spacing of documents
WIDEST_GAP = 64  # px: largest gap between two pieces of a row
LOOSE = 2.2  # type heights: a larger distance between lines begins a new block
LARGER = 1.4  # a larger ratio of type heights begins a new block


@dataclass(frozen=True)
class BlockRow:
    """One row of a block: a line of the page, or a part of one."""

    line: int
    """number of the line on the page, from 0"""
    pieces: tuple[Piece, ...]
    """the pieces of the row, from left to right"""

    @property
    def widths(self) -> list[float]:
        """Box of the text in each piece, in pixels of the page."""
        return [float(_width(piece)) for piece in self.pieces]

    @property
    def room(self) -> float:
        """Approximate number of characters in the row."""
        return sum(self.widths) / (ADVANCE * TYPE_HEIGHT)


@dataclass(frozen=True)
class PageBlock:
    """A few lines of a page in one image."""

    picture: Image.Image
    """RGB image with sides that are multiples of 64"""
    rows: tuple[BlockRow, ...]

    @property
    def box(self) -> Box:
        """The smallest box around its pieces, in pixels of the page."""
        return union(piece.box for row in self.rows for piece in row.pieces)


def cut_blocks(page: Image.Image, lines: list[Line], max_side: int = 512) -> list[PageBlock]:
    """The blocks of an RGB page with these lines, in reading order, with no side longer than `max_side` pixels.

    A page without lines becomes one block with the whole page, scaled to the height of a line.
    """
    pieces = cut_lines(page, lines, max_side)
    if not pieces:
        whole = as_one_line(page, max_side)
        return [PageBlock(whole.picture, (BlockRow(0, (whole,)),))]
    heights = [float(np.median([segment.height for segment in line.segments])) for line in lines]
    rows = _rows(pieces, max_side)
    groups: list[list[BlockRow]] = [rows[:1]]
    for last, row in pairwise(rows):
        full = (len(groups[-1]) + 1) * ROW > max_side
        new = last.line != row.line and _begins_anew(
            lines[last.line].box, lines[row.line].box, heights[last.line], heights[row.line]
        )
        if full or new:
            groups.append([])
        groups[-1].append(row)
    return [PageBlock(_stacked(group), tuple(group)) for group in groups]


def _begins_anew(last: Box, this: Box, last_height: float, height: float) -> bool:
    """Whether a line begins a new block: after a gap, in another type size, or in another column."""
    low, high = sorted((last_height, height))
    down = (this[1] + this[3] - last[1] - last[3]) / 2  # px from middle to middle
    return high > LARGER * low or down > LOOSE * high or down < 0


def _width(piece: Piece) -> int:
    """Size of the text in a piece's image, in pixels."""
    return len(piece.course.middles) if piece.course is not None else piece.picture.width - 2 * MARGIN


def _rows(pieces: Sequence[Piece], max_side: int) -> list[BlockRow]:
    """Pieces of a line side by side in rows, as many as fit into each."""
    rows: list[list[Piece]] = []
    right = 0
    for piece in pieces:
        begins = not rows or piece.row != rows[-1][0].row
        gap = 0 if begins else _gap(rows[-1][-1], piece)
        if begins or right + gap + _width(piece) + MARGIN > max_side:
            rows.append([])
            right, gap = MARGIN, 0
        rows[-1].append(piece)
        right += gap + _width(piece)
    return [BlockRow(row[0].row, tuple(row)) for row in rows]


def _gap(left: Piece, right: Piece) -> int:
    """Pixels between two pieces of a row: the gap on the page at their scale, up to a limit."""
    scale = right.course.scale if right.course is not None else 1.0
    return max(0, min(WIDEST_GAP, round((right.box[0] - left.box[2]) * scale)))


def _stacked(rows: Sequence[BlockRow]) -> Image.Image:
    """Rows stacked on the background colour of the first; a single row looks as in mode `lines`."""
    strips = [_strip(row) for row in rows]
    width = ceil((max(strip.shape[1] for strip in strips) + 2 * MARGIN) / SIDE_STEP) * SIDE_STEP
    above = (HEIGHT - ROW) // 2 if len(rows) == 1 else 0
    height = ceil(max(HEIGHT, len(rows) * ROW) / SIDE_STEP) * SIDE_STEP
    view = np.empty((height, width, 3), np.uint8)
    view[:] = paper_colour(strips[0])
    for i, strip in enumerate(strips):
        top = above + i * ROW
        view[top : top + ROW, MARGIN : MARGIN + strip.shape[1]] = strip
    return Image.fromarray(view)


def _strip(row: BlockRow) -> np.ndarray:
    """The pieces of a row side by side: uint8 (ROW, W, 3)."""
    parts: list[np.ndarray] = []
    top = (HEIGHT - ROW) // 2
    for i, piece in enumerate(row.pieces):
        pixels = np.asarray(piece.picture)[top : top + ROW, MARGIN : MARGIN + _width(piece)]
        if i:
            paper = np.empty((ROW, _gap(row.pieces[i - 1], piece), 3), np.uint8)
            paper[:] = paper_colour(pixels)
            parts.append(paper)
        parts.append(pixels)
    return np.concatenate(parts, axis=1)


def divide_words(text: str, rooms: Sequence[float]) -> list[str]:
    """The words of a row, divided among its pieces in proportion to their room for characters."""
    words = text.split()
    parts: list[list[str]] = [[] for _ in rooms]
    total, length, part = sum(rooms) or 1.0, sum(map(len, words)), 0
    edges = [sum(rooms[: i + 1]) / total * length for i in range(len(rooms))]
    position = 0.0
    for word in words:
        while part < len(rooms) - 1 and position + len(word) / 2 > edges[part]:
            part += 1
        parts[part].append(word)
        position += len(word)
    return [" ".join(some) for some in parts]
