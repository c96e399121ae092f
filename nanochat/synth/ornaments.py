"""Drawings beside the text that are not text: curls, stars, badges, leaves, QR-like codes.

Receipts have logos, menus a steaming cup. The line detector and the model must see such drawings in training to learn
that they are not text. The evaluation sets have none.
"""

import math
import random

import cv2
import numpy as np

from nanochat.synth.degrade import ink_colour
from nanochat.synth.document import glyph_height

_TRIES = 12  # positions tried for each
_FINER = 4  # supersampling factor


def with_ornaments(image: np.ndarray, boxes: np.ndarray, rng: random.Random) -> np.ndarray:
    """A copy of an image, (H, W) or (H, W, 3) uint8, with one to four drawings where there are no glyph boxes (N, 4).

    They have at least half the contrast of the text and up to six times its height, and may be close to it.
    """
    image = image.copy()
    height, width = image.shape[:2]
    type_height = glyph_height(boxes) if len(boxes) else height / 8
    taken = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in boxes.round().astype(int).tolist():
        taken[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 1
    ink = ink_colour(image)
    for _ in range(rng.randint(1, 4)):
        draw, least = rng.choice(_KINDS)
        tall = type_height * math.exp(rng.uniform(math.log(least), math.log(6)))
        wide = tall * math.exp(rng.uniform(-0.7, 1.0))
        for _ in range(_TRIES):
            h, w = max(round(tall), 6), max(round(wide), 6)
            if h >= height or w >= width:
                break
            y, x = rng.randrange(height - h), rng.randrange(width - w)
            if not taken[y : y + h, x : x + w].any():
                cover = draw(w, h, type_height, rng) * rng.uniform(0.5, 1.0)
                part = image[y : y + h, x : x + w].astype(np.float32)
                cover = cover[:, :, None] if image.ndim == 3 else cover
                image[y : y + h, x : x + w] = (part + (ink - part) * cover).round().astype(np.uint8)
                taken[y : y + h, x : x + w] = 1
                break
    return image


def _lines(curves: list[np.ndarray], w: int, h: int, stroke: float, fill: bool = False) -> np.ndarray:
    """Coverage (h, w) in [0, 1] of curves, each (N, 2) points in [0, 1], drawn `stroke` px thick or filled."""
    canvas = np.zeros((h * _FINER, w * _FINER), np.uint8)
    for curve in curves:
        points = (curve * [w - 1, h - 1] * _FINER).round().astype(np.int32)
        if fill:
            cv2.fillPoly(canvas, [points], 255)
        else:
            cv2.polylines(canvas, [points], False, 255, max(round(stroke * _FINER), 1))
    return cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _stroke(type_height: float, rng: random.Random) -> float:
    return max(type_height * rng.uniform(0.04, 0.14), 0.8)


def _curls(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """Parallel waves, vertical like steam or horizontal like water."""
    count, swing, turns = rng.randint(2, 4), rng.uniform(0.03, 0.12), rng.uniform(0.6, 2.0)
    along = np.linspace(0.05, 0.95, 40)
    lying, phase = rng.random() < 0.4, rng.uniform(0, 2 * np.pi)
    curves = []
    for i in range(count):
        across = (i + 0.5) / count + swing * np.sin(2 * np.pi * turns * along + phase)
        reach = along * rng.uniform(0.6, 1.0)
        curves.append(np.stack([reach, across] if lying else [across, reach], axis=1).clip(0, 1))
    return _lines(curves, w, h, _stroke(type_height, rng))


def _star(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """A star, flower, wheel or polygon around the centre, filled or not, sometimes inside a ring."""
    points, inner = rng.randint(3, 9), rng.uniform(0.3, 1.0)
    angle = np.linspace(0, 2 * np.pi, 2 * points + 1) + rng.uniform(0, np.pi)
    radius = np.where(np.arange(2 * points + 1) % 2, 0.4 * inner, 0.4)
    curves = [0.5 + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)]
    cover = _lines(curves, w, h, _stroke(type_height, rng), fill=rng.random() < 0.5)
    if rng.random() < 0.4:
        cover = np.maximum(cover, _ring(w, h, type_height, rng))
    return cover


def _ring(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """An ellipse, or several concentric ones."""
    angle = np.linspace(0, 2 * np.pi, 60)
    radii = [0.48 * (1 - 0.25 * i) for i in range(rng.randint(1, 3))]
    curves = [0.5 + np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1) for r in radii]
    return _lines(curves, w, h, _stroke(type_height, rng))


def _vessel(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """A cup, bowl or pot with a handle and steam above it."""
    top, floor = rng.uniform(0.35, 0.6), 0.95
    half, foot = rng.uniform(0.25, 0.38), rng.uniform(0.1, 0.3)
    body = np.array([[0.45 - half, top], [0.45 - foot, floor], [0.45 + foot, floor], [0.45 + half, top]])
    body = np.concatenate([body, body[:1]])
    angle = np.linspace(-1.4, 1.4, 20)
    handle = np.stack([0.45 + half * 0.85 + 0.14 * np.cos(angle), (top + floor) / 2 - 0.04 + 0.14 * np.sin(angle)], 1)
    cover = _lines([body], w, h, _stroke(type_height, rng), fill=rng.random() < 0.4)
    cover = np.maximum(cover, _lines([handle], w, h, _stroke(type_height, rng)))
    steam = _curls(max(round(w * 0.5), 6), max(round(h * top * 0.8), 6), type_height, rng)
    left = round(0.2 * w)
    into = cover[: steam.shape[0], left : left + steam.shape[1]]
    np.maximum(into, steam[: into.shape[0], : into.shape[1]], out=into)
    return cover


def _leaf(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """Leaves on a stem."""
    stem = np.array([[0.1, 0.95], [0.5, rng.uniform(0.4, 0.6)], [0.9, 0.05]])
    curves = [stem]
    along = np.linspace(0, np.pi, 16)
    for at in np.linspace(0.15, 0.85, rng.randint(2, 5)):
        base = np.array([0.1 + 0.8 * at, 0.95 - 0.9 * at])
        way = np.array([rng.uniform(0.1, 0.25), rng.uniform(-0.05, 0.2)]) * rng.choice((-1, 1))
        side = np.array([-way[1], way[0]]) * rng.uniform(0.3, 0.6)
        out = base + np.outer(along / np.pi, way) + np.outer(np.sin(along), side)
        back = base + np.outer(along / np.pi, way) - np.outer(np.sin(along), side)
        curves.append(np.concatenate([out, back[::-1]]).clip(0, 1))
    return _lines(curves, w, h, _stroke(type_height, rng), fill=rng.random() < 0.4)


def _scrawl(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """A random walk: a doodle, a signature, a crease or a hair."""
    at = np.cumsum(np.array([[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(rng.randint(4, 14))]), axis=0)
    at = np.repeat(at, 12, axis=0)
    smooth = np.ones(18) / 18
    curve = np.stack([np.convolve(at[:, axis], smooth, "valid") for axis in (0, 1)], axis=1)
    low, high = curve.min(axis=0), curve.max(axis=0)
    return _lines([(curve - low) / np.maximum(high - low, 1e-6)], w, h, _stroke(type_height, rng))


def _squares(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """A code of black and white squares, with or without the three corner marks of a QR code."""
    side = rng.choice((11, 15, 21, 25))
    grid = np.array([[rng.random() < 0.5 for _ in range(side)] for _ in range(side)], np.uint8)
    if rng.random() < 0.7:
        eye = np.pad(np.pad(np.ones((3, 3), np.uint8), 1), 1, constant_values=1)
        for y, x in ((0, 0), (0, side - 7), (side - 7, 0)):
            grid[y : y + 7, x : x + 7] = eye
    cover = np.zeros((h, w), np.float32)
    edge = min(w, h)
    code = cv2.resize(grid * 255, (edge, edge), interpolation=cv2.INTER_AREA)
    cover[:edge, :edge] = code.astype(np.float32) / 255
    return cover


def _blots(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """Spots, like stains or foliage in a photograph."""
    coarse = np.array([[rng.gauss(0, 1) for _ in range(12)] for _ in range(12)], np.float32)
    field = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    return ((field * rng.uniform(1, 4)).clip(0, 1) * (1 - x**2) * (1 - y**2)).astype(np.float32)


def _tick(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """A tick mark."""
    at = rng.uniform(0.2, 0.45)
    curve = np.array([[0.02, rng.uniform(0.4, 0.8)], [at, 0.97], [0.98, 0.03]])
    return _lines([curve], w, h, _stroke(type_height, rng))


def _stripe(w: int, h: int, type_height: float, rng: random.Random) -> np.ndarray:
    """A nearly straight stroke from one side to the other: a strike-through, an underline or a fold."""
    along = np.linspace(0, 1, 20)
    middle, slope, bend = rng.uniform(0.2, 0.8), rng.uniform(-0.3, 0.3), rng.uniform(-0.15, 0.15)
    across = middle + slope * (along - 0.5) + bend * np.sin(np.pi * along)
    return _lines([np.stack([along, across.clip(0, 1)], axis=1)], w, h, _stroke(type_height, rng))


PEN_MARKS = (_tick, _tick, _stripe, _stripe, _ring, _scrawl)
"""The drawings that `wear.crossed` puts across text: each (width, height, type height, rng) -> coverage (h, w)."""

# (function, least height in type heights): a smaller ring would be an o, a shorter stroke an l.
_KINDS = (
    *((_curls, 1.1), (_curls, 1.1), (_star, 1.5), (_ring, 2.5), (_vessel, 1.5), (_leaf, 1.3)),
    *((_scrawl, 1.8), (_scrawl, 1.8), (_squares, 1.2), (_blots, 0.7)),
)
