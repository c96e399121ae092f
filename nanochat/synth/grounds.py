"""Coloured bars and boxes behind text: invoice headings, table cells, buttons and labels.

Examples are white on orange, black on red, and text that has the brightness of its background and differs from it only
in colour. The evaluation sets have no such backgrounds.
"""

import colorsys
import random

import cv2
import numpy as np

from nanochat.synth.degrade import ink_cover, to_bytes
from nanochat.synth.document import DrawnDocument, glyph_height

LEAST_STEP = 60.0  # brightness difference, of 255, between a background and the white or black printed on it
LEAST_DISTANCE = 150.0  # Euclidean RGB distance between ink and a background of the same brightness
_HUES = (0.0, 0.03, 0.07, 0.09, 0.12, 0.15, 0.33, 0.45, 0.52, 0.58, 0.62, 0.75, 0.9, 0.95)  # red to pink, in [0, 1]
_PATCH_TRIES = 20


def _ground(rng: random.Random) -> np.ndarray:
    """A mid-tone colour (3,), RGB in 0..255; one in four is grey."""
    if rng.random() < 0.25:
        return np.full(3, rng.uniform(70, 200))
    hue = (rng.choice(_HUES) + rng.uniform(-0.02, 0.02)) % 1.0
    return np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.35, 1.0), rng.uniform(0.55, 1.0))) * 255


def _brightness(colour: np.ndarray) -> float:
    return float(colour @ np.array([0.299, 0.587, 0.114]))


def _pair(rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """(background, ink), each (3,): white or black on a colour, or one colour on another of the same brightness."""
    for _ in range(_PATCH_TRIES):
        ground = _ground(rng)
        form = rng.random()
        if form < 0.55:
            ink = np.full(3, rng.uniform(235, 255))
        elif form < 0.8:
            ink = np.full(3, rng.uniform(0, 40))
        else:  # of the same brightness: invisible in a greyscale image
            ink = _ground(rng)
            ink = (ink * (_brightness(ground) / max(_brightness(ink), 1.0))).clip(0, 255)
        clear = abs(_brightness(ground) - _brightness(ink)) >= LEAST_STEP
        if clear or (np.linalg.norm(ground - ink) >= LEAST_DISTANCE and form >= 0.8):
            return ground, ink
    return np.array([230.0, 120.0, 30.0]), np.full(3, 255.0)


def _places(document: DrawnDocument, rng: random.Random) -> list[tuple[int, int, int, int]]:
    """Boxes x0, y0, x1, y1 of the backgrounds, px: behind lines, parts of a line, or the whole image."""
    height, width = document.image.shape[:2]
    tall = glyph_height(document.boxes)
    form = rng.random()
    if form < 0.15:
        return [(0, 0, width, height)]
    lines = document.line_boxes()
    chosen = lines if form < 0.35 else lines[sorted(rng.sample(range(len(lines)), rng.randint(1, min(4, len(lines)))))]
    whole_width = rng.random() < 0.5
    above, beside = rng.uniform(0.02, 0.35) * tall, rng.uniform(0.2, 1.2) * tall
    places = []
    for x0, y0, x1, y1 in chosen:
        left, right = (0.0, float(width)) if whole_width else (x0 - beside, x1 + beside)
        places.append((int(left), int(y0 - above), int(right) + 1, int(y1 + above) + 1))
    return [(max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)) for x0, y0, x1, y1 in places]


def on_colour(document: DrawnDocument, rng: random.Random) -> np.ndarray:
    """The document's image, (H, W, 3) uint8, with mid-tone backgrounds behind some of its text.

    Inside a background the ink has the colour chosen for it; outside, only the number of channels changes. An image
    without text is returned unchanged.
    """
    if not len(document.boxes):
        return document.image
    image = document.image
    cover, _, _ = ink_cover(image, glyph_height(document.boxes))
    shown = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    shown = shown.astype(np.float32)
    ground, ink = _pair(rng)
    for index, (x0, y0, x1, y1) in enumerate(_places(document, rng)):
        if x0 >= x1 or y0 >= y1:
            continue
        if index and rng.random() < 0.3:
            ground, ink = _pair(rng)
        part = cover[y0:y1, x0:x1, None]
        grain = np.ones((1, 1, 1), np.float32)
        if rng.random() < 0.25:  # darker or lighter from one side to the other
            slope = np.linspace(1.0, rng.uniform(0.85, 1.1), x1 - x0, dtype=np.float32)
            grain = slope[None, :, None]
        shown[y0:y1, x0:x1] = ground * grain + (ink - ground * grain) * np.clip(part * 1.1 - 0.05, 0, 1)
        if rng.random() < 0.15:
            edge = tuple(float(v) for v in ink)
            cv2.rectangle(shown, (x0, y0), (x1 - 1, y1 - 1), edge, rng.randint(1, 2))
    return to_bytes(shown)
