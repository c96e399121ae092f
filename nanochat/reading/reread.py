"""A second look at lines that the model was not sure of: larger, so that their letters lie otherwise over its tokens.

What is hard to see at one place of the grid of patches may be easy at another. Of both readings of a line that one is
kept of which the model is surer.
"""

from dataclasses import replace
from typing import NamedTuple

from PIL import Image

from nanochat.engine.batching import Generation
from nanochat.image_process import ImageViews
from nanochat.lines.cut import Piece, cut_lines
from nanochat.lines.layout import Line

SURE_OF_LINE = 0.97  # mean probability under which a line is looked at again
LARGER_TYPE = 32  # px: the type's height then


class Read(NamedTuple):
    """A piece of a line, as it was shown, and what was read."""

    piece: Piece
    view: ImageViews
    answer: Generation


def sureness(found: list[Read]) -> dict[int, float]:
    """Mean probability of what was said about each line, by its number."""
    said: dict[int, list[float]] = {}
    for read in found:
        said.setdefault(read.piece.row, []).extend(read.answer.probabilities)
    return {row: sum(some) / max(1, len(some)) for row, some in said.items()}


def unsure_pieces(picture: Image.Image, lines: list[Line], first: list[Read], max_side: int) -> list[Piece]:
    """The lines of a page, larger and cut anew, that the model is not sure of after the first look.

    None of a page without lines, whose one piece is the page.
    """
    unsure = [row for row, sure in sureness(first).items() if sure < SURE_OF_LINE and row < len(lines)]
    pieces = cut_lines(picture, [lines[row] for row in unsure], max_side, LARGER_TYPE)
    return [replace(piece, row=unsure[piece.row]) for piece in pieces]


def keep_surer(first: list[Read], second: list[Read]) -> tuple[list[Read], list[Read]]:
    """(of each line the reading that is surer, in the order of the lines; the others)."""
    before, after = sureness(first), sureness(second)
    better = {row for row, sure in after.items() if sure > before[row]}
    kept = [r for r in first if r.piece.row not in better] + [r for r in second if r.piece.row in better]
    spare = [r for r in first if r.piece.row in better] + [r for r in second if r.piece.row not in better]
    return sorted(kept, key=lambda read: read.piece.row), spare
