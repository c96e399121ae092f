"""A page that is drawn line by line in reading order, and records the position of every word."""

import random
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.segment import Segment
from nanochat.synth.writer import Writer

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
FAMILIES = tuple(
    (FONTS / plain, FONTS / bold)
    for plain, bold in (
        ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
        ("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
        ("STIXGeneral.ttf", "STIXGeneralBol.ttf"),
    )
)
"""(plain, bold) faces that are installed with Matplotlib"""
Word = tuple[str, float, float]  # text, left end and right end in px


@dataclass
class Written:
    """A line of text, or a cell of one."""

    words: list[Word]
    middle: float
    """y in px of the middle of its small letters"""
    height: float
    """type height in px, ascenders to descenders"""

    @property
    def text(self) -> str:
        return " ".join(word for word, _, _ in self.words)

    def segment(self) -> Segment:
        """The line as a perfect line detector would find it."""
        x = np.arange(self.words[0][1], self.words[-1][2] + 1.0)
        return Segment(np.stack([x, np.full_like(x, self.middle)], 1), self.height)


@dataclass
class Press:
    """A white page with margins; y is the top of the next row in px."""

    rng: random.Random
    writer: Writer
    faces: tuple[Path, Path]
    size: int
    """type size in px"""
    width: int = 1000
    height: int = 1300
    written: list[Written] = field(default_factory=list)
    """in reading order"""

    def __post_init__(self) -> None:
        self.picture = Image.new("RGB", (self.width, self.height), "white")
        self.draw = ImageDraw.Draw(self.picture)
        self.left = self.rng.uniform(2.0, 4.0) * self.size
        self.right = self.width - self.rng.uniform(2.0, 4.0) * self.size
        self.y = self.rng.uniform(1.5, 4.0) * self.size
        self.leading = self.rng.uniform(1.15, 1.45)
        self.bottom = self.height - 3.0 * self.size

    @property
    def pitch(self) -> float:
        """Line distance of running text in px."""
        return self.leading * self.size

    def font(self, scale: float = 1.0, bold: bool = False) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(str(self.faces[bold]), round(self.size * scale))

    def text(
        self, x: float, y: float, text: str, scale: float = 1.0, bold: bool = False, align: str = "l",
        ink: str = "black", fill: float | None = None,
    ) -> float:  # fmt: skip
        """Write a line whose left end, right end or middle (align "l", "r", "c") is at `x`. Returns its right end.

        `y`: top of the line. `fill`: the width in px to which it is justified.
        """
        font, words = self.font(scale, bold), text.split()
        space = font.getlength(" ")
        widths = [font.getlength(word) for word in words]
        if fill is not None and len(words) > 1:
            space = (fill - sum(widths)) / (len(words) - 1)
        total = sum(widths) + space * (len(words) - 1)
        x -= {"l": 0.0, "c": total / 2, "r": total}[align]
        baseline = y + font.size
        placed = []
        for word, width in zip(words, widths):
            self.draw.text((x, baseline), word, font=font, fill=ink, anchor="ls")
            placed.append((word, x, x + width))
            x += width + space
        _, top, _, low = font.getbbox("dp", anchor="ls")
        small = -font.getbbox("x", anchor="ls")[1]
        self.written.append(Written(placed, baseline - small / 2, float(low - top)))
        return placed[-1][2]

    def wrap(self, text: str, width: float, scale: float = 1.0, hanging: float = 0.0) -> list[str]:
        """Wrap a text into lines of at most `width` px; all but the first are narrower by `hanging`."""
        font, lines = self.font(scale), [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and font.getlength(longer) > width - hanging * (len(lines) > 1):
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def flow(
        self, x: float, y: float, width: float, text: str, justify: bool = False, indent: float = 0.0,
        bottom: float | None = None,
    ) -> float:  # fmt: skip
        """Write a paragraph with an indented first line, not below `bottom`. Returns the top of the next line."""
        lines = self.wrap(" " + text, width - indent) if indent else self.wrap(text, width)
        for i, line in enumerate(lines):
            if bottom is not None and y + self.pitch > bottom:
                break
            inset = indent if i == 0 else 0.0
            room = width - inset
            last = i == len(lines) - 1
            fill = None if last or not justify else min(room, width - indent)
            self.text(x + inset, y, line, fill=fill)
            y += self.pitch
        return y

    def prose(self, x: float, y: float, width: float, bottom: float, justify: bool, indent: float = 0.0) -> float:
        """Write paragraphs down to `bottom` px. Returns the top of the next line."""
        while y + 2 * self.pitch < bottom:
            y = self.flow(x, y, width, self.writer.sentences(self.rng.randint(80, 420)), justify, indent, bottom=bottom)
        return y

    def columns(self, n: int, gutter: float) -> list[tuple[float, float]]:
        """(left, width) in px of n equal columns."""
        width = (self.right - self.left - (n - 1) * gutter) / n
        return [(self.left + i * (width + gutter), width) for i in range(n)]

    def title(self, scale: float, centred: bool | None = None) -> None:
        """Write a heading over the whole width."""
        centred = self.rng.random() < 0.5 if centred is None else centred
        text = self.wrap(self.writer.title(self.rng.randint(2, 5)), (self.right - self.left) / scale)[0]
        x = (self.left + self.right) / 2 if centred else self.left
        self.text(x, self.y, text, scale, True, "c" if centred else "l")
        self.y += (scale + self.rng.uniform(0.5, 1.5)) * self.size

    def rule(self, x0: float, y0: float, x1: float, y1: float, ink: str = "#555555", width: int = 1) -> None:
        self.draw.line((x0, y0, x1, y1), fill=ink, width=width)

    def ordered(self, read: list[list[Segment]]) -> str:
        """The text that a perfect reader would read in these segments in this order."""
        lines = []
        for segments in read:
            words: list[str] = []
            for segment in segments:
                (left, y), (right, _) = segment.ends
                inside = [
                    word
                    for one in self.written
                    if abs(one.middle - y) < 0.4 * one.height and 0.5 * one.height < segment.height < 2 * one.height
                    for word in sorted(one.words, key=lambda word: word[1])
                    if left <= (word[1] + word[2]) / 2 <= right
                ]
                words += [text for text, _, _ in sorted(inside, key=lambda word: word[1])]
            lines.append(" ".join(words))
        return "\n".join(line for line in lines if line)

    @property
    def expected(self) -> str:
        return "\n".join(line.text for line in self.written)


def overlaps(press: Press) -> bool:
    """Whether any two lines overlap, which is an error in the drawing."""
    lines = sorted(press.written, key=lambda line: line.middle)
    for i, a in enumerate(lines):
        for b in lines[i + 1 :]:
            if b.middle - a.middle > 0.6 * a.height:
                break
            if min(a.words[-1][2], b.words[-1][2]) - max(a.words[0][1], b.words[0][1]) > 0:
                return True
    return any(a[2] > b[1] + 1 for line in lines for a, b in pairwise(line.words))
