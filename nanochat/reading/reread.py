"""Reread uncertain lines at a larger size, so that their letters fall on other patches.

A letter that is hard to read at one position of the patch grid may be easy at another. Of the two readings of a line,
the one with the higher probability is kept.
"""

from dataclasses import replace
from typing import NamedTuple

from PIL import Image

from nanochat.engine.answers import Generation
from nanochat.image_process import ImageViews
from nanochat.lines.cut import Piece, cut_lines
from nanochat.lines.layout import Line
from nanochat.reading.marks import split_after_runs

SURE_OF_LINE = 0.97  # a line with a lower mean probability is read again
LARGER_TYPE = 32  # type height of the second reading, in pixels


class PieceAnswer(NamedTuple):
    """A piece of a line, its view, and the answer about it."""

    piece: Piece
    view: ImageViews
    answer: Generation


def sureness(found: list[PieceAnswer]) -> dict[int, float]:
    """The mean probability of each line, by the number of the line."""
    said: dict[int, list[float]] = {}
    for read in found:
        said.setdefault(read.piece.row, []).extend(read.answer.probabilities)
    return {row: sum(some) / max(1, len(some)) for row, some in said.items()}


def unsure_pieces(picture: Image.Image, lines: list[Line], first: list[PieceAnswer], max_side: int) -> list[Piece]:
    """The uncertain lines of an RGB page after the first reading, enlarged and cut into pieces again.

    Empty for a page without lines, which is a single piece.
    """
    unsure = [row for row, sure in sureness(first).items() if sure < SURE_OF_LINE and row < len(lines)]
    pieces = cut_lines(picture, [lines[row] for row in unsure], max_side, LARGER_TYPE)
    return split_after_runs([replace(piece, row=unsure[piece.row]) for piece in pieces])


def keep_surer(first: list[PieceAnswer], second: list[PieceAnswer]) -> tuple[list[PieceAnswer], list[PieceAnswer]]:
    """(the reading of each line with the higher probability, in the order of the lines; the other readings)."""
    before, after = sureness(first), sureness(second)
    better = {row for row, sure in after.items() if sure > before[row]}
    kept = [r for r in first if r.piece.row not in better] + [r for r in second if r.piece.row in better]
    spare = [r for r in first if r.piece.row in better] + [r for r in second if r.piece.row not in better]
    return sorted(kept, key=lambda read: read.piece.row), spare
