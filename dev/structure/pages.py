"""Draw pages with a known structure, with the generator of training documents."""

import random
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from nanochat.lines.boxes import Box
from nanochat.synth.canvas import Canvas
from nanochat.synth.degrade import camera, strokes
from nanochat.synth.document import DrawnDocument
from nanochat.synth.fonts import PLAIN, PRINTED, find_fonts
from nanochat.synth.layouts import business
from nanochat.synth.layouts.sheet import Cell, Faces, Sheet
from nanochat.synth.levels import Level
from nanochat.synth.writer import Writer

SHEET = Level("structure", 1024, 1344, (16, 24), 90, 4000)
SIZES = (16, 18, 20, 22, 24)  # px of the text
WEAR = 0.1  # strength of the degradations
AS_READ = str.maketrans(PRINTED, PLAIN)  # typographic quotes and dashes as the transcripts have them


@dataclass
class Structure:
    """The parts of a page, each kind from top to bottom."""

    headings: list[tuple[int, str]] = field(default_factory=list)
    """(level from 1, text)"""
    tables: list[list[list[str]]] = field(default_factory=list)
    """rows of cells"""
    items: list[str] = field(default_factory=list)
    """of lists"""
    paragraphs: list[str] = field(default_factory=list)


@dataclass
class StructuredPage:
    """A drawn page, its structure, and its words with their boxes in pixels."""

    picture: Image.Image
    structure: Structure
    words: list[tuple[str, Box]]


class MarkedSheet(Sheet):
    """A sheet that records the cells of each row; cells that were left out are recorded as empty."""

    def row(self, *cells: Cell, scale: float = 1.0, spread: float = 0.0) -> bool:
        if not super().row(*cells, scale=scale, spread=spread):
            return False
        left, written = self.canvas.lines[-1], []
        for cell in cells:
            is_there = bool(cell.text) and left.startswith(cell.text)
            written.append(cell.text if is_there else "")
            left = left[len(cell.text) + 1 :] if is_there else left
        self.rows = [*getattr(self, "rows", []), written]
        return True

    def take_rows(self) -> list[list[str]]:
        """Return the rows written since the last call."""
        rows, self.rows = getattr(self, "rows", []), []
        return rows


def draw_structured_page(seed: int) -> StructuredPage:
    """The page of a seed: a title and sections, each with a heading and paragraphs, lists, tables or columns."""
    rng = random.Random(f"structure/{seed}")
    paper, ink = (rng.randint(235, 255),), (rng.randint(0, 40),)
    canvas = Canvas(SHEET.width, SHEET.height, paper)
    fonts = find_fonts()
    plain = fonts.pick(rng, False, rng.random() < 0.1)
    faces = Faces(plain, fonts.bold(plain))
    px = rng.choice(SIZES)
    sheet = MarkedSheet(canvas, SHEET, faces, px, ink, Writer(rng, False, plain.extras))
    sheet.largest_px, sheet.chars_left = 3 * px, SHEET.max_chars
    structure = Structure()
    _Composer(sheet, structure).compose()
    boxes, centres, line_ids = canvas.glyphs()
    text = "\n".join(canvas.lines)
    document = DrawnDocument(canvas.image, text, text.replace("\n", ""), boxes, centres, line_ids)
    words, places = document.word_boxes()
    image = camera(strokes(canvas.image, True, px, WEAR, rng), px, WEAR, rng)
    found = [(word.translate(AS_READ), _whole(box)) for word, box in zip(words, places, strict=True)]
    return StructuredPage(Image.fromarray(image).convert("RGB"), structure, found)


def _whole(box: np.ndarray) -> Box:
    left, top, right, bottom = map(round, box.tolist())
    return left, top, right, bottom


class _Composer:
    """Writes the parts of a page from top to bottom."""

    def __init__(self, sheet: MarkedSheet, structure: Structure) -> None:
        self.sheet, self.structure, self.rng = sheet, structure, sheet.rng
        rng = sheet.rng
        has_bold = sheet.faces.bold is not sheet.faces.plain
        # (scale, bold) of each level of headings
        self.looks = [(rng.uniform(1.7, 2.2), has_bold and rng.random() < 0.6), (rng.uniform(1.3, 1.45), has_bold)]
        if has_bold:
            self.looks.append((1.0, True))
        self.numbers = [0, 0] if rng.random() < 0.3 else None
        self.centred_title = rng.random() < 0.3
        self.indent = rng.choice((0.0, 0.0, 1.5)) * sheet.px
        self.apart = 0.0 if self.indent else rng.uniform(0.5, 0.8)  # rows between paragraphs

    def compose(self) -> None:
        self.heading(1)
        self.paragraphs()
        while self.sheet.rows_left() > 8:
            self.heading(2)
            for _ in range(self.rng.randint(1, 3)):
                if self.sheet.rows_left() > 8 and len(self.looks) > 2 and self.rng.random() < 0.35:
                    self.paragraphs()
                    self.heading(3)
                parts = (self.paragraphs, self.list_of_items, self.grid, self.wrapped_table, self.columns)
                self.rng.choices(parts, (3, 2, 2, 3, 1))[0]()

    def heading(self, level: int) -> None:
        sheet, rng = self.sheet, self.rng
        scale, bold = self.looks[level - 1]
        sheet.skip(rng.uniform(0.6, 0.9))
        number = self._number(level)
        text = " ".join(sheet.writer.title(rng.randint(1, 2)) for _ in range(rng.randint(1, 2)))
        text = sheet.fit(number + text[:1].upper() + text[1:], sheet.width, scale, bold)
        centred = level == 1 and self.centred_title
        x, align = (sheet.middle, "c") if centred else (sheet.left, "l")
        if sheet.rows_left() > 6 and sheet.row(Cell(text, x, align, bold), scale=scale):
            self.structure.headings.append((level, text.translate(AS_READ)))
            sheet.skip(rng.uniform(0.3, 0.5))

    def _number(self, level: int) -> str:
        if self.numbers is None or level == 1:
            return ""
        first, second = self.numbers
        self.numbers = [first + 1, 0] if level == 2 else [first, second + 1]
        return ".".join(str(n) for n in self.numbers[: level - 1]) + " "

    def paragraphs(self) -> None:
        sheet, rng = self.sheet, self.rng
        for _ in range(rng.randint(1, 2)):
            before = len(sheet.canvas.lines)
            sheet.prose(sheet.left, sheet.right, rng.randint(150, 420), False, self.indent)
            self._keep_paragraph(before)
            sheet.skip(self.apart)
        sheet.skip(0.5 - min(0.5, self.apart))

    def _keep_paragraph(self, before: int) -> None:
        lines = self.sheet.canvas.lines[before:]
        if lines:
            self.structure.paragraphs.append(" ".join(lines).translate(AS_READ))

    def list_of_items(self) -> None:
        """Items of one to three lines, with bullets that are written or drawn, or with numbers."""
        sheet, rng = self.sheet, self.rng
        mark = rng.choice(("-", "*", "#.", "#)", "disc"))
        start = sheet.left + rng.uniform(0, 1.5) * sheet.px
        inset = sheet.atlas().width("00. ")
        short = rng.random() < 0.6
        for number in range(1, rng.randint(3, 7)):
            text = sheet.writer.item(rng.randint(2, 5)) if short else sheet.writer.sentences(rng.randint(40, 180))
            label = {"#.": f"{number}.", "#)": f"{number})"}.get(mark, mark)
            lines = self._wrapped(text, sheet.right - start - inset)
            if sheet.rows_left() < len(lines) + 1:
                break
            if mark == "disc":
                y = sheet.y + 0.6 * sheet.row_height() / sheet.leading
                sheet.canvas.disc(start + 0.5 * sheet.px, y, sheet.px * 0.16, sheet.ink)
                label = ""
            for i, line in enumerate(lines):
                cells = (Cell(label, start), Cell(line, start + inset)) if i == 0 else (Cell(line, start + inset),)
                sheet.row(*cells)
            self.structure.items.append(text.translate(AS_READ))
        sheet.skip(0.6)

    def grid(self) -> None:
        """A table of the training documents: a header, and rows of one line; ruled, striped or neither."""
        sheet = self.sheet
        sheet.take_rows()
        sheet.skip(0.3)
        business.grid(sheet, self.rng.randint(2, 6), self.rng.randint(3, 9))
        self._keep_table(sheet.take_rows())

    def wrapped_table(self) -> None:
        """A table with wrapped and empty cells, whose rows are separated by rules or space."""
        sheet, rng = self.sheet, self.rng
        n, pad = rng.randint(2, 4), 0.5 * sheet.px
        shares = [rng.uniform(1.5, 2.5), *(rng.uniform(0.8, 1.6) for _ in range(n - 1))]
        edges = [sheet.left + sheet.width * sum(shares[:i]) / sum(shares) for i in range(n + 1)]
        kinds = ["prose", *(rng.choice(("prose", "amount", "date", "number")) for _ in range(n - 1))]
        ruled, room = rng.choice(("grid", "rows", "none")), rng.uniform(0.3, 0.6) * sheet.row_height()
        rows: list[list[str]] = []
        sheet.skip(0.3)
        tops = [sheet.y]
        for index in range(rng.randint(4, 8)):
            cells = [self._cell(kind, index == 0) for kind in kinds]
            if index > 1:
                cells = [cells[0], *("" if rng.random() < 0.15 else cell for cell in cells[1:])]
            bold = index == 0
            wrapped = [self._wrapped(c, b - a - 2 * pad, bold) for c, a, b in zip(cells, edges, edges[1:])]
            deep = max(map(len, wrapped))
            if sheet.rows_left() < deep + 2:
                break
            sheet.y += room / 2
            for line in range(deep):
                written = []
                for lines, kind, a, b in zip(wrapped, kinds, edges, edges[1:]):
                    right = kind in ("amount", "number")
                    x, align = (b - pad, "r") if right else (a + pad, "l")
                    written.append(Cell(lines[line] if line < len(lines) else "", x, align, bold))
                sheet.row(*written)
            sheet.y += room / 2
            tops.append(sheet.y)
            rows.append([" ".join(lines) for lines in wrapped])
        ink = sheet.shade(rng.uniform(0.4, 0.9))
        for y in tops if ruled != "none" else []:
            sheet.canvas.rule(sheet.left, sheet.right, y, ink)
        for x in edges if ruled == "grid" else []:
            sheet.canvas.fill(x, tops[0], x + 1, tops[-1], ink)
        sheet.skip(0.3)
        self._keep_table(rows)

    def _cell(self, kind: str, is_head: bool) -> str:
        writer, rng = self.sheet.writer, self.rng
        if is_head:
            return writer.title(1)
        return writer.item(rng.randint(1, 9)) if kind == "prose" else writer.cell(kind)

    def _keep_table(self, rows: list[list[str]]) -> None:
        if len(rows) > 1:
            self.structure.tables.append([[cell.translate(AS_READ) for cell in row] for row in rows])
        self.sheet.skip(0.4)

    def columns(self) -> None:
        """Two columns of prose."""
        sheet = self.sheet
        left, right, floor, top = sheet.left, sheet.right, sheet.bottom, sheet.y
        half, lowest = (sheet.width - 1.5 * sheet.px) / 2, top
        for start in (left, right - half):
            sheet.y, before = top, len(sheet.canvas.lines)
            sheet.prose(start, start + half, self.rng.randint(180, 300), False, 0.0)
            self._keep_paragraph(before)
            lowest = max(lowest, sheet.y)
        sheet.y, sheet.bottom = lowest, floor
        sheet.skip(0.6)

    def _wrapped(self, text: str, width: float, bold: bool = False) -> list[str]:
        """Wrap a text into lines of at most `width` px."""
        lines: list[str] = []
        while text:
            line = self.sheet.fit(text, width, 1.0, bold)
            lines.append(line)
            text = text[len(line) :].strip()
        return lines
