"""Synthetic pages with a known structure: headings, paragraphs, tables."""

import random
import textwrap
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import matplotlib
from markdown_it import MarkdownIt
from PIL import Image, ImageDraw, ImageFont

from helpers.drawn_page import WORDS
from nanochat.lines.boxes import Box

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
WIDTH, HEIGHT, LEFT = 1000, 1300, 80
NAMES = ["Paper", "Copper wire", "Green tea", "Maps of the coast", "Lamp oil", "Two chairs", "Nails, small", "Glass"]


@dataclass
class Structure:
    """A synthetic page and its content from top to bottom."""

    picture: Image.Image
    headings: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    words: list[tuple[str, Box]] = field(default_factory=list)


class Pen:
    """Draws a page from top to bottom in one font family, and records the words and their boxes."""

    def __init__(self, family: str, size: int) -> None:
        self.page = Structure(Image.new("RGB", (WIDTH, HEIGHT), "white"))
        self.family, self.size, self.y = family, size, 60
        self.draw = ImageDraw.Draw(self.page.picture)

    def font(self, scale: float = 1.0, bold: bool = False) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(str(FONTS / f"{self.family}{'-Bold' if bold else ''}.ttf"), round(self.size * scale))

    def line(self, text: str, x: float, font: ImageFont.FreeTypeFont) -> None:
        for word in text.split():
            self.draw.text((x, self.y), word, "black", font)
            self.page.words.append((word, tuple(map(round, self.draw.textbbox((x, self.y), word, font=font)))))
            x += font.getlength(word + " ")

    def heading(self, text: str, scale: float, bold: bool) -> None:
        font = self.font(scale, bold)
        self.y += round(0.8 * self.size)
        self.line(text, LEFT, font)
        self.page.headings.append(text)
        self.y += round(1.9 * font.size)

    def paragraph(self, rng: random.Random) -> None:
        text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(30, 60))).capitalize() + "."
        letters = int((WIDTH - 2 * LEFT) / self.font().getlength("abcdefghij") * 10)
        for row in textwrap.wrap(text, letters):
            self.line(row, LEFT, self.font())
            self.y += round(1.35 * self.size)
        self.y += round(0.9 * self.size)

    def table(self, rows: list[list[str]], widths: list[int], ruled: bool) -> None:
        """Draw a table. Cells that are too long for their column are wrapped; numbers are right-aligned."""
        font, pitch, pad = self.font(), round(1.3 * self.size), round(0.35 * self.size)
        top = self.y
        edges = [LEFT + sum(widths[:i]) for i in range(len(widths) + 1)]
        for row in rows:
            if ruled:
                self.draw.line((edges[0], self.y, edges[-1], self.y), "black", 2)
            self.y += pad
            start, lines = self.y, 1
            for cell, left, right in zip(row, edges, edges[1:]):
                self.y = start
                letters = max(1, int((right - left - 2.2 * self.size) / font.getlength("abcdefghij") * 10))
                wrapped = textwrap.wrap(cell, letters)
                for part in wrapped:
                    x = left + self.size
                    if part[-1].isdigit():
                        x = right - self.size - font.getlength(part)
                    self.line(part, x, font)
                    self.y += pitch
                lines = max(lines, len(wrapped))
            self.y = start + lines * pitch + pad
        if ruled:
            for x in edges:
                self.draw.line((x, top, x, self.y), "black", 2)
            self.draw.line((edges[0], self.y, edges[-1], self.y), "black", 2)
        self.page.tables.append(rows)
        self.y += round(1.5 * self.size)


def draw_structure(seed: int) -> Structure:
    """A page with a title, a section for each kind of heading, paragraphs and a table."""
    rng = random.Random(seed)
    pen = Pen(("DejaVuSans", "DejaVuSerif", "DejaVuSansMono")[seed % 3], (20, 18, 22)[seed // 3 % 3])
    pen.heading("Report of the harbour office", 1.8, bold=rng.random() < 0.5)
    pen.paragraph(rng)
    pen.heading("What was bought", 1.35, bold=True)
    pen.paragraph(rng)
    columns, ruled = rng.choice((3, 4, 5)), rng.random() < 0.5
    head = ["Goods", "Count", "Price", "Paid", "Open"][:columns]
    body = []
    for name in rng.sample(NAMES, rng.randint(3, 6)):
        if rng.random() < 0.25:
            name += " for the new house of the harbour master"
        body.append([name, *(f"{rng.randint(1, 99) * 1.25:.2f}" if rng.random() < 0.8 else "" for _ in head[1:])])
    for i in range(1, columns):  # no column may be empty
        body[0][i] = body[0][i] or "7.50"
    for row in body:  # and no row
        row[-1] = row[-1] if any(row[1:]) else "2.50"
    pen.table([head, *body], [340, *[480 // (columns - 1)] * (columns - 1)], ruled)
    pen.heading("How it was paid", 1.35, bold=True)
    pen.paragraph(rng)
    pen.heading("By card", 1.0, bold=True)
    pen.paragraph(rng)
    return pen.page


def structure_of(markdown: str) -> tuple[list[tuple[int, str]], list[list[list[str]]]]:
    """(level and text of each heading, cells of each table), according to an independent Markdown parser."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    headings: list[tuple[int, str]] = []
    tables: list[list[list[str]]] = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            headings.append((int(token.tag[1]), inline.content))
        elif token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in ("th_open", "td_open"):
            tables[-1][-1].append(inline.content)
    return headings, tables
