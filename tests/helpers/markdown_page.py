"""Pages as they are read line by line, and the blocks of their Markdown according to markdown-it."""

import textwrap
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt

from helpers.structured_page import structure_of
from nanochat.reading.markdown import page_markdown

LETTER, HEIGHT, PITCH = 8, 16, 20


PROSE = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a "
    "wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this "
    "truth is so well fixed in the minds of the surrounding families that he is considered their rightful property."
)


def line(text: str, x: float, y: float, height: float = HEIGHT, *more: tuple[str, float]) -> dict[str, Any]:
    """A line as a page read line by line has it, with letters LETTER wide. `more`: further parts to the right."""
    parts = [
        {"text": t, "box": (x, y, x + LETTER * len(t) * height / HEIGHT, y + height)} for t, x in ((text, x), *more)
    ]
    boxes = [part["box"] for part in parts]
    box = boxes[0][0], y, boxes[-1][2], y + height
    return {"text": " ".join(part["text"] for part in parts), "box": box, "parts": parts}


def wrapped(text: str, x: float, y: float, width: int, indent: int = 0) -> list[dict[str, Any]]:
    rows = textwrap.wrap(" " * indent + text, width)
    return [line(row.strip(), x + LETTER * indent * (i == 0), y + PITCH * i) for i, row in enumerate(rows)]


def page(*lines: dict[str, Any]) -> dict[str, Any]:
    return {"mode": "lines", "text": "\n".join(one["text"] for one in lines), "lines": list(lines)}


def shown(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(tag, text with line ends where a browser breaks the line) of each block."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page_markdown(result))
    found = []
    for opening, inline in pairwise(tokens):
        if inline.type == "inline":
            ends = {"hardbreak": "\n", "softbreak": " "}
            found.append((opening.tag, "".join(ends.get(c.type, c.content) for c in inline.children or [])))
    return found


def cells_of(result: dict[str, Any]) -> list[list[list[str]]]:
    """The cells of each table."""
    return structure_of(page_markdown(result))[1]


SHIPS = [["Year", "Ships", "Tons"], ["1950", "12", "340"], ["1951", "15", "410"]]


def ships(y: int) -> list[dict[str, Any]]:
    """The lines of a table of SHIPS."""
    return [line(a, 50, y + 24 * i, HEIGHT, (b, 250), (c, 400)) for i, (a, b, c) in enumerate(SHIPS)]
