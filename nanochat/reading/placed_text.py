"""Lines and words of a page with their boxes, for the output formats that show them."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from nanochat.lines.boxes import Box, turn_box, turn_size
from nanochat.reading.confidence import confidence


class Stretch(NamedTuple):
    """Text without wide gaps, and its box in pixels of the page."""

    text: str
    box: Box
    word_boxes: tuple[Box, ...] = ()
    """box of each word, if known"""


class PlacedText(NamedTuple):
    """A line of text and its box in pixels of the page."""

    text: str
    box: Box
    confidence: int
    """calibrated confidence in per cent (`confidence.confidence`)"""
    parts: tuple[Stretch, ...] = ()
    """the parts of a line that was cut into pieces"""
    turned: int = 0
    """degrees clockwise by which the page was turned to be read; its boxes refer to the page as given"""

    def stretches(self) -> tuple[Stretch, ...]:
        """The parts, or the whole line as one part."""
        return self.parts or (Stretch(self.text, self.box),)


def stretch_of(part: dict[str, Any]) -> Stretch:
    """A part of a line, from the dict of `Page.to_dict`."""
    return Stretch(part["text"], tuple(part["box"]), tuple(tuple(box) for box in part.get("word_boxes", [])))


def placed_lines(entry: dict[str, Any], of_blocks: bool = True) -> list[PlacedText]:
    """All lines of a page whose box is known; a block of several lines is divided into equal heights.

    entry: a page of the ledger; its `result` is a page as `Page.to_dict` gives it, or None.
    """
    result = entry["result"] or {}
    found = [
        PlacedText(
            line["text"],
            tuple(line["box"]),
            confidence(line["mean_probability"]),
            tuple(map(stretch_of, line.get("parts", []))),
            result.get("turned", 0),
        )
        for line in result.get("lines", [])
        if line["box"]
    ]
    for block in result.get("blocks", []) if of_blocks else []:
        rows = (block["text"] or block["label"]).splitlines()
        for left, top, right, bottom in block["boxes"][:1]:
            pitch = (bottom - top) / max(1, len(rows))
            edges = [round(top + i * pitch) for i in range(len(rows) + 1)]
            boxes = [(left, first, right, last) for first, last in pairwise(edges)]
            sure = confidence(result["mean_probability"])
            found += [PlacedText(row, box, sure) for row, box in zip(rows, boxes) if row.strip()]
    return found


def boxes_to_draw(entry: dict[str, Any]) -> list[tuple[str, Box]]:
    """(name, box in pixels of the page) of every part of a line and of every box of a block."""
    result = entry["result"] or {}
    lines = [(s.text, s.box) for line in placed_lines(entry, of_blocks=False) for s in line.stretches()]
    blocks = [(block["label"], tuple(box)) for block in result.get("blocks", []) for box in block["boxes"]]
    return lines + blocks


def words_in(stretch: Stretch, turned: int = 0) -> Iterator[tuple[str, Box]]:
    """The words of a part of a line and their boxes; if unknown, its length is divided evenly among its characters.

    turned: as in `PlacedText`.
    """
    text, box, word_boxes = stretch
    if len(word_boxes) == len(text.split()):
        yield from zip(text.split(), word_boxes)
        return
    page = box[2:]  # the smallest page that contains the box
    left, top, right, bottom = turn_box(box, turned, page)
    pixels = (right - left) / max(1, len(text))
    for word in re.finditer(r"\S+", text):
        upright = round(left + word.start() * pixels), top, round(left + word.end() * pixels), bottom
        yield word[0], turn_box(upright, -turned, turn_size(page, turned))


def words_of(line: PlacedText) -> Iterator[tuple[str, Box]]:
    """The words of a line and their boxes, as `words_in` finds them."""
    for stretch in line.stretches():
        yield from words_in(stretch, line.turned)
