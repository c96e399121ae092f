"""The text of a piece of a line, with word boxes and stroke width measured in its image."""

from nanochat.lines.cut import Piece
from nanochat.lines.words import strip_of, stroke_width, word_boxes
from nanochat.reading.page import Part


def part_of(piece: Piece, text: str) -> Part:
    """The part of a line that a piece shows; runs of spaces in its text become single spaces."""
    strip = strip_of(piece)
    return Part(" ".join(text.split()), piece.box, word_boxes(piece, text, strip), round(stroke_width(strip), 3))
