"""Images without text: blank sheets, noise, and parts of a photograph. A model should read nothing in them."""

import random
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from PIL import Image

from nanochat.synth.degrade import camera, noise, to_bytes
from nanochat.tasks.eval_set import EvalSet, reading

KINDS = ("blank", "noise", "photo")
SIZES = ((256, 64), (256, 256), (512, 512))  # width, height: as large as a line, a note and a page


def blank(size: tuple[int, int], rng: random.Random) -> np.ndarray:
    """A sheet of one light or dark tone, usually with the grain, uneven light, blur and JPEG artefacts of a camera.

    `size`: (width, height) in pixels. Returns uint8 (height, width, 3).
    """
    level = rng.randint(180, 255) if rng.random() < 0.85 else rng.randint(0, 60)
    tone = [max(0, level - rng.randint(0, 30)) for _ in range(3)]
    sheet = np.full((size[1], size[0], 3), tone, np.uint8)
    return sheet if rng.random() < 0.2 else camera(sheet, 16, rng.random(), rng)


def speckle(size: tuple[int, int], rng: random.Random) -> np.ndarray:
    """Noise of random coarseness and strength around a random tone, in grey or in colour.

    `size`: (width, height) in pixels. Returns uint8 (height, width, 3).
    """
    channels = [noise((size[1], size[0]), rng, rng.choice((0, 1, 3))) for _ in range(rng.choice((1, 3)))]
    return to_bytes(
        np.dstack([channels[i % len(channels)] for i in range(3)]) * rng.uniform(10, 80) + rng.gauss(128, 40)
    )


def photo(size: tuple[int, int], rng: random.Random) -> np.ndarray:
    """A random part of a photograph, scaled to `size` and possibly mirrored, with random brightness.

    `size`: (width, height) in pixels. Returns uint8 (height, width, 3).
    """
    picture = _photograph()
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    height = rng.randint(120, picture.shape[0])
    width = min(picture.shape[1], round(height * size[0] / size[1]))
    y, x = rng.randint(0, picture.shape[0] - height), rng.randint(0, picture.shape[1] - width)
    piece = cv2.resize(np.ascontiguousarray(picture[y : y + height, x : x + width]), size)
    return to_bytes(piece * rng.uniform(0.6, 1.2))


@cache
def _photograph() -> np.ndarray:
    """A photograph that is included in matplotlib: a woman in uniform in front of a flag, without legible text."""
    with files("matplotlib").joinpath("mpl-data/sample_data/grace_hopper.jpg").open("rb") as file:
        return np.asarray(Image.open(file).convert("RGB"))


class EmptyPictures(EvalSet):
    """`n` images without text, equally many of each kind in KINDS, in the sizes of a line, a note and a page."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.tiers = sorted((KINDS[i % len(KINDS)] for i in range(n)), key=KINDS.index)
        self.ids = [f"{kind}-{i}" for i, kind in enumerate(self.tiers)]

    def get_example(self, index: int) -> dict:
        rng = random.Random(self.ids[index])
        draw = {"blank": blank, "noise": speckle, "photo": photo}[self.tiers[index]]
        return reading(Image.fromarray(draw(SIZES[index % len(SIZES)], rng)), "")
