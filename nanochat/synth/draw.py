"""One seed, one document: face, colours, layout, then what a camera does to it."""

import random

import numpy as np

from nanochat.synth import degrade, layouts
from nanochat.synth.atlas import get_atlas
from nanochat.synth.canvas import Canvas, Ink
from nanochat.synth.document import Document
from nanochat.synth.fonts import FontSet, find_fonts
from nanochat.synth.levels import Level
from nanochat.synth.writer import Writer

SPLITS = ("train", "val", "unseen", "hard")
EMPTY_SHARE = 0.02  # pictures without text: the model must learn to say nothing


def draw_document(level: Level, seed: int, split: str = "train", fonts: FontSet | None = None) -> Document:
    """Draw the document that `seed` names: the same arguments give the same document in any process.

    split: "train"; "val", other seeds of the same; "unseen", held-out font families and held-out words alone; "hard",
    trained fonts and words under the heaviest degradations. fonts: those of the machine by default, on which the
    drawing depends. Raises UserError where no font is usable, or for "unseen" no held-out one.
    """
    assert split in SPLITS, split
    fonts = fonts or find_fonts()
    rng = random.Random(f"{split}/{level.name}/{seed}")
    unseen = split == "unseen"
    strength = 1.0 if split == "hard" else level.degrade
    paper, ink = _colours(rng, strength)
    canvas = Canvas(level.width, level.height, paper)
    if rng.random() >= EMPTY_SHARE:
        face = fonts.pick(rng, unseen)
        atlas = get_atlas(face, rng.randint(*level.font_px))
        writer = Writer(rng, unseen, face.extras)
        layouts.draw_lines(canvas, level, atlas, ink, writer, rng)
    boxes, centres, line_ids = canvas.glyphs()
    image = degrade.photograph(canvas.image, strength, rng)
    limit = np.array([level.width, level.height] * 2, np.float32)
    boxes = np.clip(boxes, 0, limit)
    text = "\n".join(canvas.lines)
    return Document(image, text, text.replace("\n", ""), boxes, centres, line_ids)


def _colours(rng: random.Random, strength: float) -> tuple[Ink, Ink]:
    """(paper, ink): dark on light nine times in ten, grey seven in ten; the more degraded the fainter."""
    light = rng.randint(int(215 - 45 * strength), 255)
    dark = rng.randint(0, int(40 + 60 * strength)) if rng.random() < 0.6 else rng.randint(0, 30)
    if rng.random() < 0.3:
        pale = tuple(max(light - rng.randint(0, 50), 0) for _ in range(3))
        deep = tuple(min(dark + rng.randint(0, 70), 255) for _ in range(3))
    else:
        pale, deep = (light,), (dark,)
    return (deep, pale) if rng.random() < 0.1 else (pale, deep)
