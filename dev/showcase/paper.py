"""A receipt as an object: lines printed on thermal paper, folded, torn off and placed on a desk."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from dev.showcase.paint import Colour, clouds, drop_shadow, finish, font, shade, spaced, spotlight

SCALE = 2  # supersampling factor: drawings are scaled down at the end
Line = tuple[str, ...]  # a kind (a key of LINES), then the words from left to right


@dataclass(frozen=True)
class Receipt:
    """The properties of one receipt; lengths are in pixels of the final image."""

    lines: tuple[Line, ...]
    desk: Callable[[np.random.Generator, tuple[int, int]], Image.Image]
    size: tuple[int, int]  # of the image
    width: int  # of the paper
    text_size: int
    face: str
    paper: Colour
    ink: Colour
    angle: float  # degrees, anticlockwise
    seed: int


@dataclass(frozen=True)
class Slot:
    """The position of one line, in pixels as drawn, and its type."""

    draw: ImageDraw.ImageDraw  # on an L image: 255 is full ink
    left: float
    top: float
    right: float
    bottom: float
    size: int
    face: str

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    @property
    def baseline(self) -> float:
        return self.bottom - (self.bottom - self.top) * 0.30

    def write(self, text: str, x: float, anchor: str, scale: float = 1.0, weight: str = "") -> None:
        face = font(round(self.size * scale), self.face + weight)
        self.draw.text((x, self.baseline), text, font=face, fill=255, anchor=anchor)


def text_of(receipt: Receipt) -> str:
    """The printed text in reading order, with columns separated by a space; rules and emblems have no text."""
    return "\n".join(" ".join(words) for _, *words in receipt.lines if words)


def draw_receipt(receipt: Receipt) -> Image.Image:
    """The receipt on its desk, RGB."""
    rng = np.random.default_rng(receipt.seed)
    size = (receipt.size[0] * SCALE, receipt.size[1] * SCALE)
    picture = receipt.desk(rng, size)
    paper = _print_paper(receipt, rng)
    layer = Image.new("RGBA", size)
    layer.paste(paper, ((size[0] - paper.width) // 2, (size[1] - paper.height) // 2))
    layer = layer.rotate(receipt.angle, Image.Resampling.BICUBIC)
    shape = layer.getchannel("A")
    drop_shadow(picture, shape, (9 * SCALE, 12 * SCALE), 12 * SCALE, 0.45)
    drop_shadow(picture, shape, (1 * SCALE, 2 * SCALE), 3 * SCALE, 0.35)
    picture.paste(layer, mask=shape)
    return finish(shade(picture, spotlight(size, (0.35, 0.25), 1.6, 0.75)), receipt.size)


def _print_paper(receipt: Receipt, rng: np.random.Generator) -> Image.Image:
    """The strip of paper, RGBA, as long as its lines require, with a torn lower edge and two faint folds."""
    step = receipt.text_size * 1.45 * SCALE
    margin = 26 * SCALE
    width = receipt.width * SCALE
    heights = [step * LINES[kind][0] for kind, *_ in receipt.lines]
    height = round(sum(heights) + 2 * margin)
    ink = Image.new("L", (width, height))
    draw = ImageDraw.Draw(ink)
    top = float(margin)
    for (kind, *words), line_height in zip(receipt.lines, heights):
        bottom = top + line_height
        slot = Slot(draw, margin, top, width - margin, bottom, receipt.text_size * SCALE, receipt.face)
        LINES[kind][1](slot, words)
        top = bottom
    fade = 0.82 + 0.18 * clouds(rng, (width, height), (4, 7))  # a worn print head
    paper = Image.new("RGB", (width, height), receipt.paper)
    paper.paste(receipt.ink, mask=Image.fromarray((np.asarray(ink) * fade).astype(np.uint8)))
    light = 0.965 + 0.035 * clouds(rng, (width, height), (3, 5))
    for fold in (0.36, 0.71):
        distance = (np.arange(height) - fold * height) / (9 * SCALE)
        light -= (0.06 * distance * np.exp(-(distance**2)))[:, None]
    paper = shade(paper, light)
    paper.putalpha(_torn_shape(width, height))
    return paper


def _torn_shape(width: int, height: int) -> Image.Image:
    """An L mask of the paper: straight, except for the marks of the cutter at the lower edge."""
    tooth = 5 * SCALE
    mask = Image.new("L", (width, height))
    teeth = [(x, height - 1 - (tooth if i % 2 else 0)) for i, x in enumerate(range(width, -tooth, -tooth))]
    ImageDraw.Draw(mask).polygon([(0, 0), (width, 0), *teeth], fill=255)
    return mask


def _name(slot: Slot, words: list[str]) -> None:
    """The name of the shop, as large as the paper allows, up to 1.6 times the text size."""
    wide = font(100, f"{slot.face}-Bold").getlength(words[0]) / 100 + 0.07 * len(words[0])
    size = min(slot.size * 1.6, 0.97 * (slot.right - slot.left) / wide)
    spaced(slot.draw, slot.middle, slot.baseline, words[0], font(round(size), f"{slot.face}-Bold"), 255, size * 0.05)


def _centre(slot: Slot, words: list[str]) -> None:
    slot.write(words[0], slot.middle, "ms")


def _left(slot: Slot, words: list[str]) -> None:
    slot.write(words[0], slot.left, "ls")


def _ends(slot: Slot, words: list[str]) -> None:
    slot.write(words[0], slot.left, "ls")
    slot.write(words[1], slot.right, "rs")


def _columns(slot: Slot, words: list[str]) -> None:
    """A name, and figures in columns that are aligned from the right."""
    slot.write(words[0], slot.left, "ls")
    for i, word in enumerate(reversed(words[1:])):
        slot.write(word, slot.right - i * slot.size * 4.5, "rs")


def _total(slot: Slot, words: list[str]) -> None:
    slot.write(words[0], slot.left, "ls", 1.3, "-Bold")
    slot.write(words[1], slot.right, "rs", 1.3, "-Bold")


def _rule(slot: Slot, words: list[str]) -> None:
    y = (slot.top + slot.bottom) / 2
    for x in range(round(slot.left), round(slot.right) - 4 * SCALE, 8 * SCALE):
        slot.draw.line([(x, y), (x + 4 * SCALE, y)], fill=190, width=round(1.5 * SCALE))


def _gap(slot: Slot, words: list[str]) -> None:
    pass


def _bars(slot: Slot, words: list[str]) -> None:
    """A bar code (of no real kind) with digits below."""
    bits = "101" + "".join(PATTERNS[int(digit)] for digit in words[0] if digit.isdigit()) + "101"
    bar = max(1, round((slot.right - slot.left) * 0.75 / len(bits)))
    start = round(slot.middle - bar * len(bits) / 2)
    for i, bit in enumerate(bits):
        if bit == "1":
            x = start + i * bar
            slot.draw.rectangle([x, slot.top + 6 * SCALE, x + bar - 1, slot.bottom - slot.size * 1.5], fill=255)
    slot.draw.text(
        (slot.middle, slot.bottom - slot.size * 0.4), words[0], font=font(slot.size, slot.face), fill=255, anchor="ms"
    )


def _cup(slot: Slot, words: list[str]) -> None:
    """A cup of coffee that steams."""
    x, y, unit = slot.middle, slot.bottom, (slot.bottom - slot.top) / 10
    line = round(unit * 0.55)
    slot.draw.rounded_rectangle([x - 4 * unit, y - 6 * unit, x + 3 * unit, y - unit], 2 * unit, fill=255)
    slot.draw.rectangle([x - 4 * unit, y - 6 * unit, x + 3 * unit, y - 4.5 * unit], fill=255)
    slot.draw.ellipse([x + 1.6 * unit, y - 5.4 * unit, x + 5 * unit, y - 2.4 * unit], outline=255, width=line)
    slot.draw.line([(x - 5 * unit, y - 0.4 * unit), (x + 4 * unit, y - 0.4 * unit)], fill=255, width=line)
    for shift in (-2.2, -0.5, 1.2):
        box = [x + (shift - 1.0) * unit, y - 9.4 * unit, x + (shift + 0.6) * unit, y - 6.6 * unit]
        slot.draw.arc(box, -60, 60, fill=220, width=line)


def _lighthouse(slot: Slot, words: list[str]) -> None:
    """A lighthouse with two beams, on a line of sea."""
    x, y, unit = slot.middle, slot.bottom, (slot.bottom - slot.top) / 10
    for side in (-1, 1):
        beam = [(x, y - 8.2 * unit), (x + side * 9 * unit, y - 9.8 * unit), (x + side * 9 * unit, y - 6.6 * unit)]
        slot.draw.polygon(beam, fill=70)
    slot.draw.polygon(
        [
            (x - 1.3 * unit, y - 7 * unit),
            (x + 1.3 * unit, y - 7 * unit),
            (x + 2.1 * unit, y - unit),
            (x - 2.1 * unit, y - unit),
        ],
        fill=255,
    )
    slot.draw.rectangle([x - 1.7 * unit, y - 5.4 * unit, x + 1.7 * unit, y - 4.0 * unit], fill=0)
    slot.draw.rectangle([x - unit, y - 8.8 * unit, x + unit, y - 7.4 * unit], fill=255)
    slot.draw.polygon(
        [(x - 1.5 * unit, y - 8.8 * unit), (x, y - 10 * unit), (x + 1.5 * unit, y - 8.8 * unit)], fill=255
    )
    slot.draw.line([(x - 7 * unit, y - 0.6 * unit), (x + 7 * unit, y - 0.6 * unit)], fill=200, width=round(unit * 0.4))


def _leaf(slot: Slot, words: list[str]) -> None:
    """Two leaves on a stalk."""
    x, y, unit = slot.middle, slot.bottom, (slot.bottom - slot.top) / 10
    slot.draw.line([(x, y - 0.5 * unit), (x, y - 5 * unit)], fill=255, width=round(0.6 * unit))
    for side in (-1, 1):
        angles = np.linspace(0, np.pi, 24)
        upper = [
            (x + side * 5.5 * unit * t / np.pi, y - (3.5 + 4.5 * t / np.pi + 2.2 * np.sin(t)) * unit) for t in angles
        ]
        lower = [
            (x + side * 5.5 * unit * t / np.pi, y - (3.5 + 4.5 * t / np.pi - 1.6 * np.sin(t)) * unit) for t in angles
        ]
        slot.draw.polygon(upper + lower[::-1], fill=255)
        slot.draw.line([(x, y - 3.5 * unit), (x + side * 4 * unit, y - 6.8 * unit)], fill=0, width=round(0.35 * unit))


PATTERNS = (  # widths of the ten digits in a bar code, light first
    "0001101",
    "0011001",
    "0010011",
    "0111101",
    "0100011",
    "0110001",
    "0101111",
    "0111011",
    "0110111",
    "0001011",
)
LINES: dict[str, tuple[float, Callable[[Slot, list[str]], None]]] = {  # height in lines of text, function
    "name": (2.0, _name),
    "centre": (1.0, _centre),
    "left": (1.0, _left),
    "ends": (1.0, _ends),
    "columns": (1.0, _columns),
    "total": (1.5, _total),
    "rule": (0.7, _rule),
    "gap": (0.6, _gap),
    "bars": (3.6, _bars),
    "cup": (2.8, _cup),
    "lighthouse": (4.4, _lighthouse),
    "leaf": (2.6, _leaf),
}
