"""Text on coloured bars and boxes: it keeps its shape, and ink and background differ."""

import random
from dataclasses import replace

import numpy as np

from nanochat.synth import LEVELS, draw_document
from nanochat.synth.document import DrawnDocument
from nanochat.synth.grounds import LEAST_DISTANCE, LEAST_STEP, _brightness, _pair, on_colour

FLAT = replace(LEVELS["note"], degrade=0.0, kinds=("receipt", "lines", "form"))


def test_ink_and_background_differ_in_brightness_or_colour() -> None:
    pairs = [_pair(random.Random(seed)) for seed in range(300)]
    steps = np.array([abs(_brightness(ground) - _brightness(ink)) for ground, ink in pairs])
    apart = np.array([np.linalg.norm(ground - ink) for ground, ink in pairs])
    assert ((steps >= LEAST_STEP) | (apart >= LEAST_DISTANCE)).all()
    assert 0.03 < (steps < 15).mean() < 0.4, "some differ in colour alone"
    brightness = np.array([_brightness(ground) for ground, _ in pairs])
    assert ((brightness > 40) & (brightness < 230)).mean() > 0.9, "the grounds are of middle tone"


def test_letters_keep_their_shape_on_a_background() -> None:
    changed, alike = 0, []
    for seed in range(25):
        document = draw_document(FLAT, seed, "val")
        if not document.text:
            continue
        shown = on_colour(document, random.Random(seed)).astype(float)
        before = np.broadcast_to(document.image.reshape(*shown.shape[:2], -1), shown.shape).astype(float)
        touched = (np.abs(shown - before) > 2).any(axis=2)
        changed += touched.any()
        for x0, y0, x1, y1 in document.boxes.round().astype(int).clip(0):
            was, now = before[y0:y1, x0:x1].reshape(-1, 3), shown[y0:y1, x0:x1].reshape(-1, 3)
            away = np.abs(was - np.median(was, axis=0)).sum(axis=1)
            if away.size < 20 or away.max() < 150 or not touched[y0:y1, x0:x1].all():
                continue
            steps = np.abs(now - np.median(now, axis=0)).sum(axis=1)
            alike.append(np.corrcoef(away, steps)[0, 1])
    assert changed > 15 and len(alike) > 150
    assert np.median(alike) > 0.95 and np.quantile(alike, 0.05) > 0.6


def test_image_without_text_gets_no_background() -> None:
    blank = np.full((64, 64), 240, np.uint8)
    empty = DrawnDocument(
        blank, "", "", np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.int32)
    )
    assert (on_colour(empty, random.Random(0)) == blank).all()
