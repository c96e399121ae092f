"""A sheet with margins, a cursor and a text budget, on which layouts write their rows."""

import random
from typing import NamedTuple

from nanochat.synth.atlas import Atlas, get_atlas
from nanochat.synth.canvas import Canvas, Colour
from nanochat.synth.fonts import Face
from nanochat.synth.levels import Level
from nanochat.synth.writer import Writer


class Cell(NamedTuple):
    """Part of a row: `text` with its left edge, right edge or centre (align "l", "r", "c") at `x` px."""

    text: str
    x: float
    align: str = "l"
    bold: bool = False
    ink: Colour | None = None


class Faces(NamedTuple):
    """A face and its bold counterpart (the same face if its family has none)."""

    plain: Face
    bold: Face


class Sheet:
    """Margins, the cursor `y` (top of the next row), the type, and how much text may still be written."""

    def __init__(self, canvas: Canvas, level: Level, faces: Faces, px: int, ink: Colour, writer: Writer):
        self.canvas, self.faces, self.px, self.ink, self.writer = canvas, faces, px, ink, writer
        self.rng: random.Random = writer.rng
        self.largest_px = round(level.font_px[1] * canvas.height / level.height)
        rng = self.rng
        roomy = 0.09 if level.width >= 192 else 0.03
        self.left = rng.uniform(0.015, roomy) * canvas.width
        self.right = canvas.width - rng.uniform(0.015, roomy) * canvas.width
        self.y = rng.uniform(0.015, roomy) * canvas.height
        self.bottom = canvas.height - 1 - rng.uniform(0.005, 0.03) * canvas.height
        self.leading = rng.uniform(1.0, 1.35)  # row height over type height
        if writer.abroad:  # room for accents
            self.y += self.atlas().rise
            self.leading += 0.1
        full = rng.random() < 0.6
        self.chars_left = level.max_chars if full else rng.randint((level.max_chars + 3) // 4, level.max_chars)
        self.lines_left = level.max_lines

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    def atlas(self, scale: float = 1.0, bold: bool = False) -> Atlas:
        """The sheet's face at `scale` times its size, at most the level's largest size."""
        px = max(self.px, min(round(self.px * scale), self.largest_px))
        return get_atlas(self.faces.bold if bold else self.faces.plain, px)

    def row_height(self, atlas: Atlas | None = None) -> int:
        """Distance between the tops of two rows, px."""
        if atlas is None:  # not `atlas or`: an atlas without glyphs yet is falsy, being an empty dict
            atlas = self.atlas()
        return round((atlas.ascent + atlas.descent) * self.leading) + 1

    def rows_left(self) -> int:
        """How many more rows of regular type fit, by height and by line count."""
        return min(int((self.bottom - self.y) // self.row_height()), self.lines_left)

    def skip(self, rows: float) -> None:
        """Leave space of `rows` rows."""
        self.y += rows * self.row_height()

    def row(self, *cells: Cell, scale: float = 1.0, spread: float = 0.0) -> bool:
        """Write the cells from left to right as one line of text. Returns False, with nothing written, if there is no
        room.

        Cells are left out if they are empty, would extend beyond the sheet, or would overlap the previous cell.
        """
        height = self.row_height(self.atlas(scale))
        placed: list[tuple[float, Cell]] = []
        end = 0.0
        for cell in cells:
            atlas = self.atlas(scale, cell.bold)
            width = atlas.width(cell.text) + spread * cell.text.count(" ")
            x = cell.x - {"l": 0.0, "c": width / 2, "r": width}[cell.align]
            if not cell.text or x < end - 0.01 or x + width > self.canvas.width:
                continue
            placed.append((x, cell))
            end = x + width + atlas.px * 0.25
        cost = sum(len(cell.text) + 2 * cell.text.count("…") for _, cell in placed) + len(placed) - 1
        if not placed or not self._has_room(height, cost):
            return False
        baseline = round(self.y) + max(self.atlas(scale, cell.bold).ascent for _, cell in placed)
        for index, (x, cell) in enumerate(placed):
            self.canvas.write(
                x, baseline, cell.text, self.atlas(scale, cell.bold), cell.ink or self.ink, spread, join=index > 0
            )
        self._use(height, cost)
        return True

    def comb(self, label: str, text: str, x: float, pitch: float) -> bool:
        """Write a label at the left margin and `text` from `x` px, one character per `pitch` px, as one line.

        Returns False, with nothing written, if there is no room.
        """
        atlas, height = self.atlas(), self.row_height()
        cost = len(label) + bool(label) + len(text)
        wide = self.left + atlas.width(label) > x or x + pitch * len(text) > self.canvas.width
        if not text or wide or not self._has_room(height, cost):
            return False
        baseline = round(self.y) + atlas.ascent
        if label:
            self.canvas.write(self.left, baseline, label, atlas, self.ink)
        self.canvas.write(x, baseline, text, atlas, self.ink, join=bool(label), pitch=pitch)
        self._use(height, cost)
        return True

    def title(self, words: int, centred: float, scale: float, bold: bool = True) -> bool:
        """Write a title of `words` words, centred with probability `centred`, otherwise at the left margin.

        Returns False, with nothing written, if there is no room.
        """
        text = self.fit(self.writer.title(words), self.width, scale, bold)
        place = (self.middle, "c") if self.rng.random() < centred else (self.left, "l")
        return self.row(Cell(text, *place, bold), scale=scale)

    def _has_room(self, height: float, cost: int) -> bool:
        return cost <= self.chars_left and self.lines_left >= 1 and self.y + height <= self.bottom

    def _use(self, height: float, cost: int) -> None:
        self.y += height
        self.chars_left -= cost
        self.lines_left -= 1

    def fit(self, text: str, width: float, scale: float = 1.0, bold: bool = False) -> str:
        """The longest prefix of whole words that fits `width` px and the text budget; part of a word if necessary."""
        atlas = self.atlas(scale, bold)
        if len(text) <= self.chars_left and atlas.width(text) <= width:
            return text
        used, last_space = 0.0, 0
        for index, char in enumerate(text):
            used += atlas[char].advance
            if used > width or index >= self.chars_left:
                return (text[:index] if char == " " else text[: last_space or index]).rstrip()
            if char == " ":
                last_space = index
        return text

    def typical_chars(self, width: float) -> int:
        """Approximate number of characters of running text in `width` px."""
        return int(width / self.atlas().typical_advance) + 2

    def prose(self, left: float, right: float, chars: int, justify: bool = False, indent: float = 0.0) -> None:
        """Write sentences wrapped between `left` and `right` px, about `chars` characters, while there is room."""
        wanted = min(chars, self.chars_left)
        words = self.writer.sentences(wanted).split(" ")
        atlas, line, start = self.atlas(), "", left + indent
        for word in [*words, ""]:
            longer = f"{line} {word}" if line else word
            if word and atlas.width(longer) <= right - start and len(longer) <= self.chars_left:
                line = longer
                continue
            if not line:
                return
            gaps = line.count(" ")
            slack = right - start - atlas.width(line)
            spread = slack / gaps if justify and word and gaps and slack < atlas.px * gaps * 0.6 else 0.0
            if not self.row(Cell(line, start), spread=spread):
                return
            line, start = word if atlas.width(word) <= right - left and len(word) <= self.chars_left else "", left

    def tone(self, low: int, high: int) -> Colour:
        """A random grey or RGB colour, matching the canvas, with values from `low` to `high`."""
        return tuple(self.rng.randint(low, high) for _ in range(1 if self.canvas.image.ndim == 2 else 3))

    def shade(self, share: float) -> Colour:
        """The paper colour moved by `share` towards the ink colour."""
        paper = self.canvas.image[0, 0].tolist()
        paper = paper if isinstance(paper, list) else [paper]
        return tuple(round(p + (i - p) * share) for p, i in zip(paper, self.ink))
