"""Wear of printed papers, for training. The evaluation sets have only the milder `degrade`.

Receipts: tilted print heads, dead dots, thermal paper that fades from the thinnest strokes on, and the visible dots of
dot-matrix printers. Forms: underlined lines, halftone backgrounds. Also pen strokes across the text and show-through of
the back.
"""

import math
import random

import cv2
import numpy as np

from nanochat.synth.degrade import fax, head_noise, ink_colour, ink_cover, noise, sheet_colour, to_bytes, with_ink
from nanochat.synth.document import DrawnDocument, glyph_height
from nanochat.synth.ornaments import PEN_MARKS

_FAINTEST, _FEW = 0.22, 0.08  # share of a letter's ink that must remain; share of letters that may have less
_TRIES = 6
SMALLEST_DOTTED = 20.0  # px, ascenders to descenders; smaller letters of dots are unreadable


def _ink_left(printed: np.ndarray, cover: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The share of each glyph's ink that remains, (n_glyphs_with_ink,)."""
    sums = [cv2.integral(field.astype(np.float64)) for field in (printed, cover)]
    height, width = cover.shape
    x0, x1 = (boxes[:, k].round().astype(int).clip(0, width) for k in (0, 2))
    y0, y1 = (boxes[:, k].round().astype(int).clip(0, height) for k in (1, 3))
    left, whole = (s[y1, x1] - s[y0, x1] - s[y1, x0] + s[y0, x0] for s in sums)
    inked = whole > 2
    return left[inked] / whole[inked]


def worn(image: np.ndarray, boxes: np.ndarray, rng: random.Random) -> np.ndarray:
    """The image of an evenly lit document as a worn receipt printer prints it: equal dots, thin, broken and faded.

    image: (H, W) or (H, W, 3) uint8; boxes: (N, 4) of its glyphs. Nearly every letter keeps part of its ink: if too
    many would lose it, the print is made stronger.
    """
    if not len(boxes):
        return image
    type_height = glyph_height(boxes)
    cover, paper, ink = ink_cover(image, type_height)
    height, width = cover.shape
    pitch = max(type_height / rng.uniform(16, 28), 1.0)
    grid = (max(round(width / pitch), 1), max(round(height / pitch), 1))
    small = cv2.GaussianBlur(cv2.resize(cover, grid, interpolation=cv2.INTER_AREA), (0, 0), rng.uniform(0.3, 0.7))
    inked = small[small > 0.25]
    dots = small / (float(np.percentile(inked, 70)) if len(inked) else 1.0)
    field = head_noise(dots.shape, rng, (0, 1, 1, 3, 24), 0.35)
    bar = rng.uniform(0.3, 0.65) + field * rng.uniform(0, 0.22)
    if rng.random() < 0.45:  # one side of the head does not touch the paper
        along = np.linspace(0, 1, dots.shape[1], dtype=np.float32)
        edge = rng.uniform(0.05, 0.6)
        askew = np.clip(1 - along / edge, 0, 1) * rng.uniform(0.1, 0.6)
        bar = bar + (askew if rng.random() < 0.6 else askew[::-1])
    sharp, strength = rng.uniform(2.5, 12), rng.uniform(0.55, 1.0)
    form = rng.choice((cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST))
    for _ in range(_TRIES):
        bar = np.maximum(bar, 0.12 + 0.5 / sharp)  # paper without ink stays blank, however hot the head
        heated = np.clip((dots - bar) * sharp + 0.5, 0, 1)
        printed = cv2.resize(heated, (width, height), interpolation=form).clip(0, 1)
        left = _ink_left(printed, cover, boxes)
        if not len(left) or (left < _FAINTEST).mean() <= _FEW:
            break
        bar = bar - 0.12
    return with_ink(paper, ink - paper, printed * strength)


def dotted(image: np.ndarray, boxes: np.ndarray, rng: random.Random) -> np.ndarray:
    """The image of an evenly lit document as a dot-matrix printer prints it: round dots with gaps between them.

    image: (H, W) or (H, W, 3) uint8; boxes: (N, 4) of its glyphs. Returned unchanged if the type is smaller than
    SMALLEST_DOTTED px or letters would be lost.
    """
    type_height = glyph_height(boxes) if len(boxes) else 0.0
    if type_height < SMALLEST_DOTTED:
        return image
    cover, paper, ink = ink_cover(image, type_height)
    height, width = cover.shape
    pitch = max(type_height / rng.uniform(12, 17), 1.4)
    grid = (max(round(width / pitch), 1), max(round(height / pitch), 1))
    hit = cv2.resize(cover, grid, interpolation=cv2.INTER_AREA) > rng.uniform(0.3, 0.42)
    rows, columns = (np.arange(n, dtype=np.float32) + 0.5 for n in (height, width))
    rows, columns = rows * grid[1] / height, columns * grid[0] / width
    away = np.hypot(*np.meshgrid(rows % 1 - 0.5, columns % 1 - 0.5, indexing="ij"))
    soft = 1 / pitch  # the edge of a dot is one pixel wide
    dot = np.clip((rng.uniform(0.42, 0.62) - away) / soft + 0.5, 0, 1)
    printed = (dot * hit[rows.astype(int)][:, columns.astype(int)]).astype(np.float32)
    left = _ink_left(printed, cover, boxes)
    if not len(left) or (left < _FAINTEST).mean() > _FEW:
        return image
    return with_ink(paper, ink - paper, printed * rng.uniform(0.6, 1.0))


def crossed(image: np.ndarray, boxes: np.ndarray, rng: random.Random) -> np.ndarray:
    """A copy of an image with one to three pen strokes across its text, which stays readable."""
    if not len(boxes):
        return image
    image = image.copy() if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    height, width = image.shape[:2]
    type_height = glyph_height(boxes)
    light = float(np.mean(sheet_colour(image))) > 128
    for _ in range(rng.randint(1, 3)):
        tall = type_height * math.exp(rng.uniform(math.log(0.7), math.log(4)))
        wide = tall * math.exp(rng.uniform(0.0, 1.8))
        h, w = min(max(round(tall), 6), height), min(max(round(wide), 6), width)
        x0, y0, x1, y1 = boxes[rng.randrange(len(boxes))]
        x = round(min(max((x0 + x1) / 2 - rng.random() * w, 0), width - w))
        y = round(min(max((y0 + y1) / 2 - rng.random() * h, 0), height - h))
        cover = rng.choice(PEN_MARKS)(w, h, type_height * rng.uniform(0.6, 1.0), rng) * rng.uniform(0.35, 0.9)
        low, high = (0, 110) if light else (150, 255)
        colour = np.array([rng.randint(low, high) for _ in range(3)] if rng.random() < 0.6 else [low or high] * 3)
        part = image[y : y + h, x : x + w].astype(np.float32)
        image[y : y + h, x : x + w] = to_bytes(part + (colour - part) * cover[:, :, None])
    return image


def underlined(document: DrawnDocument, rng: random.Random) -> np.ndarray:
    """A copy of a document's image with single or double rules under some of its lines, or under parts of them.

    They follow the slope of the line, touch its descenders and have the colour of its ink.
    """
    image = document.image.copy()
    ink = ink_colour(image).reshape(-1).tolist()
    heights = document.boxes[:, 3] - document.boxes[:, 1]
    share = rng.uniform(0.2, 1.0)
    for line in range(int(document.line_ids[-1]) + 1 if len(heights) else 0):
        here = np.flatnonzero(document.line_ids == line)
        if not len(here) or rng.random() > share:
            continue
        height = float(np.median(heights[here]))
        if rng.random() < 0.4:  # under a part of the line
            first = rng.randrange(len(here))
            here = here[first : first + rng.randint(1, 25)]
        ends = [(document.boxes[i, k], document.centres[i, 1]) for i in here for k in (0, 2)]
        course = np.array(ends) + [0, height * rng.uniform(0.24, 0.42)]  # the baseline is at about 0.22
        thick = max(round(height * rng.uniform(0.03, 0.1)), 1)
        for below in (0.0, height * rng.uniform(0.1, 0.15))[: 1 + (rng.random() < 0.15)]:
            points = ((course + [0, below]) * 16).round().astype(np.int32)
            cv2.polylines(image, [points], False, ink, thick, cv2.LINE_AA, shift=4)
    return image


def shaded(image: np.ndarray, boxes: np.ndarray, rng: random.Random) -> np.ndarray:
    """A copy of an image with grey halftone bands behind some of its text, as photocopiers make them."""
    if not len(boxes):
        return image
    type_height = glyph_height(boxes)
    cover, paper, ink = ink_cover(image, type_height)
    height, width = cover.shape
    dots = np.zeros_like(cover)
    for _ in range(rng.randint(1, 4)):
        _, y0, _, y1 = boxes[rng.randrange(len(boxes))]
        top, bottom = int(y0 - type_height * rng.uniform(0, 0.4)), int(y1 + type_height * rng.uniform(0, 0.4))
        left, right = (0, width) if rng.random() < 0.5 else sorted(rng.randrange(width) for _ in range(2))
        dots[max(top, 0) : max(bottom, 0), left:right] = 1
    if rng.random() < 0.5:  # random dots
        pattern = (noise(cover.shape, rng, rng.choice((0, 1))) > rng.uniform(0.2, 1.2)).astype(np.float32)
    else:
        pitch = rng.uniform(2.2, 4.5)
        y, x = np.mgrid[:height, :width].astype(np.float32) / pitch
        wave = np.sin(2 * np.pi * (x + y) / math.sqrt(2)) + np.sin(2 * np.pi * (x - y) / math.sqrt(2))
        pattern = np.clip(wave * 2 - rng.uniform(0, 2), 0, 1).astype(np.float32)
    pattern = cv2.GaussianBlur(pattern * dots, (0, 0), rng.uniform(0.3, 0.8)) * rng.uniform(0.3, 0.8)
    return with_ink(image, ink - paper, np.maximum(pattern - cover, 0))  # the text itself stays


def scanned_in_black_and_white(image: np.ndarray, boxes: np.ndarray, rng: random.Random) -> np.ndarray:
    """The image (H, W) of a document scanned in black and white, thresholded at a higher resolution."""
    type_height = glyph_height(boxes) if len(boxes) else 16.0
    finer = rng.uniform(1.3, 2.5)
    large = cv2.resize(image, None, fx=finer, fy=finer, interpolation=cv2.INTER_CUBIC)
    height, width = image.shape[:2]
    return cv2.resize(
        fax(large, type_height * finer, rng.uniform(0.75, 0.95)), (width, height), interpolation=cv2.INTER_AREA
    )


def shown_through(image: np.ndarray, boxes: np.ndarray, rng: random.Random) -> np.ndarray:
    """The image of a document with its back showing through: mirrored, blurred and faint, behind its own text."""
    if not len(boxes):
        return image
    cover, paper, ink = ink_cover(image, glyph_height(boxes))
    back = cv2.GaussianBlur(cover[:, ::-1] if rng.random() < 0.7 else cover[::-1], (0, 0), rng.uniform(0.8, 2.0))
    height, width = cover.shape
    back = np.roll(back, (rng.randrange(height), rng.randrange(width)), axis=(0, 1)) * rng.uniform(0.06, 0.25)
    return with_ink(image, ink - paper, back * (1 - cover))  # hidden where the front is printed
