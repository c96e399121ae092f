"""A perfect reader of synthetic pages, so that only the assembly of their lines is measured."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from nanochat.lines.boxes import Box, union
from nanochat.lines.cut import join, show_in_lines
from nanochat.lines.layout import find_lines
from nanochat.reading.assemble import part_of
from nanochat.reading.page import Page, TextLine


def read_perfectly(picture: Image.Image, words: Sequence[tuple[str, Box]]) -> dict[str, Any]:
    """The page in the format of `Page.to_dict`, with lines from the line detector and the words as drawn."""
    rows: dict[int, list] = {}
    for piece in show_in_lines(picture, find_lines(picture)):
        left, top, right, bottom = piece.box
        inside = [(w, b) for w, b in words if left <= b[0] + b[2] >> 1 < right and top <= b[1] + b[3] >> 1 < bottom]
        if inside:
            text = " ".join(word for word, _ in sorted(inside, key=lambda pair: pair[1][0]))
            rows.setdefault(piece.row, []).append((piece, text))
    lines = []
    for found in rows.values():
        parts = [part_of(piece, text) for piece, text in found]
        text = join([text for _, text in found], [piece for piece, _ in found])
        lines.append(TextLine(text, union(part.box for part in parts), 0.9, 0.9, parts=parts))
    text = "\n".join(line.text for line in lines)
    width, height = picture.size
    return Page(text, 1, 1, 1, 0.1, "end", "lines", width=width, height=height, lines=lines).to_dict()
