"""Measure the image of a line whose text is known: the boxes of its words, and the thickness of its strokes."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from nanochat.lines.boxes import Box
from nanochat.lines.cut import MARGIN, ROOM, Piece
from nanochat.lines.gutters import runs
from nanochat.lines.quantiles import percentiles
from nanochat.lines.segment import ABOVE, BELOW, text_box

# Widths are multiples of the mean letter width of the line.
NARROW, BROAD = 0.5, 1.4  # width of a narrow and of a broad letter
NARROW_LETTERS, BROAD_LETTERS = "iljtfrI1.,:;'|!()[]`-\"", "mwMWQ@%&—"
SPACE = 0.6  # between two words
WIDEST = 1.0  # gaps that are wider count as this
WEIGHT = 8.0  # weight of a gap's width against the squared error of a word's width, in standard deviations
DEVIATION = 0.5, 0.15  # standard deviation of a word's width: a constant part, and a part for each letter
TOUCHING = 2.0  # cost of a boundary where there is no gap
RULE = 0.8  # least share of a line's length that a rule fills in a row of pixels
LONG, BEYOND = 2.0, 0.32  # type heights: shortest piece of a rule, and its least distance from the letters' middle
STROKE = 0.88  # least share of the strip's height that a vertical rule fills; letters leave room


def letter_widths(text: str) -> float:
    """The approximate width of a text without spaces, in mean letter widths."""
    narrow, broad = sum(c in NARROW_LETTERS for c in text), sum(c in BROAD_LETTERS for c in text)
    return len(text) - (1 - NARROW) * narrow + (BROAD - 1) * broad


def _contrast(strip: np.ndarray) -> np.ndarray:
    """How much the pixels of a strip, RGB (H, W, 3), differ from its paper: 0 to 255, (H, W)."""
    red, green, blue = np.moveaxis(strip, 2, 0).astype(np.float32)
    grey = (red + green + blue) / 3  # far faster than a mean over the last axis
    sides = percentiles(grey, (10, 90))  # (2, W): one is ink and the other is paper, and uniform
    return np.abs(grey - np.median(sides[int(np.argmin(np.abs(np.diff(sides)).sum(1)))]))


@dataclass(frozen=True)
class _LineImage:
    """The part of a piece's image that shows its line."""

    contrast: np.ndarray
    """(H, W), from `_contrast`; one column for each point of the course"""
    inner: int
    """number of rows above the ascenders, and also below the descenders"""
    height: float
    """type height in px of the page"""
    type_height: float
    """type height in px of the image"""


def _rules(strip: _LineImage, dark: np.ndarray) -> np.ndarray:
    """Which of the dark pixels of a strip, bool (H, W), belong to a rule above or below its letters, bool (H, W).

    A slanted rule does not stay in one row of pixels for the whole length of the line.
    """
    length = max(3, round(LONG * strip.type_height))
    long = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, length), np.uint8)) > 0
    rows = (np.arange(len(dark)) + 0.5 - strip.inner) / strip.type_height - ABOVE
    return long & (np.abs(rows) > BEYOND)[:, None]


def _ink(strip: _LineImage, has_underscores: bool = False) -> np.ndarray:
    """Whether each column of a strip has ink between its ascenders and descenders, (W,); rules do not count.

    has_underscores: whether a rule below the letters may be text.
    """
    contrast, inner = strip.contrast, slice(strip.inner, len(strip.contrast) - strip.inner)
    threshold = 0.4 * np.percentile(np.sort(contrast[inner], 0)[-2:].mean(0), 85)
    dark = contrast > threshold
    upright = np.convolve(dark.mean(0) > STROKE, (1, 1, 1), "same") > 0  # with the blur beside it
    band = (dark if has_underscores else dark & ~_rules(strip, dark))[inner]
    band = band[band.mean(1) <= RULE]
    return band.any(0) & ~upright if len(band) else np.zeros(contrast.shape[1], bool)


def strip_of(piece: Piece) -> _LineImage | None:
    """The strip of a piece; None if the position of its line is unknown."""
    if piece.course is None:
        return None
    middles, scale, middle = piece.course.middles, piece.course.scale, piece.course.middle
    height = max(2.0, piece.box[3] - 1 - piece.box[1] - float(np.ptp(middles[:, 1])))
    picture = np.asarray(piece.picture)[:, MARGIN : MARGIN + len(middles)]
    type_height = height * scale
    top = max(0, round(middle - (ABOVE + ROOM) * type_height))
    bottom = min(len(picture), round(middle + (BELOW + ROOM) * type_height))
    return _LineImage(_contrast(picture[top:bottom]), round(ROOM * type_height), height, type_height)


def stroke_width(strip: _LineImage | None) -> float:
    """The stroke width of a piece's letters in type heights: about 0.1, more if it is bold.

    It is the mean length of the runs of ink along a row; 0.0 if there is no ink.
    """
    if strip is None:
        return 0.0
    contrast = strip.contrast[strip.inner : len(strip.contrast) - strip.inner]
    ink = np.clip(contrast / max(1.0, float(percentiles(contrast.ravel(), (98,))[0])), 0, 1)
    ink = np.where(ink > 0.15, ink, 0.0)  # ignore grain
    ink = ink[ink.mean(1) <= RULE]
    edges = np.abs(np.diff(ink, axis=1, prepend=0.0, append=0.0)).sum() / 2
    return float(ink.sum() / edges / strip.type_height) if edges else 0.0


def _boundaries(gaps: list[tuple[int, int]], words: list[str], width: int) -> list[tuple[int, int]]:
    """The gaps between words, as (first column, one past the last), on `width` columns of ink.

    They are the best choice by dynamic programming: the widths of the words are close to those expected from their
    letters, wide gaps are preferred, and a boundary without a gap is used only if words touch.
    """
    widths = np.array([letter_widths(word) for word in words])
    unit = width / (widths.sum() + SPACE * (len(words) - 1))
    expected = [round(float(x)) for x in unit * (np.cumsum(widths + SPACE)[:-1] - SPACE / 2)]
    candidates = sorted([*gaps, *((x, x) for x in expected if not any(a <= x <= b for a, b in gaps))])
    ends, starts = np.array([*candidates, (width, width)]).T  # (M + 1,): end of each word; start of the next one
    worth = np.where(ends == starts, -TOUCHING, WEIGHT * np.minimum((starts - ends) / unit, WIDEST))
    worth[-1] = 0.0  # the end of the line
    length = ends[None] - np.concatenate([[0], starts[:-1]])[:, None]  # (M + 1, M + 1): from each start to each end
    cost = np.full(len(candidates) + 1, np.inf)
    cost[0] = 0.0  # cost of beginning the next word at each start
    came: list[np.ndarray] = []
    for i in range(len(words)):
        off = (length - unit * widths[i]) / (unit * (DEVIATION[0] + DEVIATION[1] * len(words[i])))
        total = np.where(length > 0, cost[:, None] + off**2 - worth[None], np.inf)  # start k -> end k'
        came.append(total.argmin(0))
        best = total.min(0)
        cost = np.concatenate([[np.inf], best[:-1]])  # the word after end k' begins at start k' + 1
    if not np.isfinite(best[-1]):
        return [(x, x) for x in expected]
    chosen, at = [], len(candidates)
    for i in reversed(range(1, len(words))):
        at = int(came[i][at]) - 1
        chosen.append((int(ends[at]), int(starts[at])))
    return chosen[::-1]


def word_boxes(piece: Piece, text: str, strip: _LineImage | None) -> list[Box]:
    """The box of each word of a piece's text, in px of the page; none if the position of its line is unknown."""
    words = text.split()
    if piece.course is None or strip is None or not words:
        return []
    ink = _ink(strip, "__" in text)
    columns = np.flatnonzero(ink)
    if len(columns) < len(words):
        return []
    start, end = int(columns[0]), int(columns[-1]) + 1
    gaps = runs(~ink[start:end])
    cuts = [(0, 0), *_boundaries(gaps, words, end - start), (end - start, end - start)]
    boxes = []
    for (_, a), (b, _) in pairwise(cuts):
        middles = piece.course.middles[start + a : max(start + b, start + a + 1)]
        left, top, right, bottom = text_box(middles, strip.height)
        boxes.append((left, top, min(right, piece.box[2]), min(bottom, piece.box[3])))
    return boxes
