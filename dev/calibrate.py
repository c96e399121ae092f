"""Fit the map from the probability of a line to the share of its words that are right, which reports show.

python -m dev.calibrate --pages=60

Draws pages as training does, half of them heavily degraded, from seeds that neither training nor any measurement uses.
Reads them, fits a monotone map on one half, and prints the expected calibration error on the other half, before and
after. Writes `nanochat/reading/confidence.json`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from rapidfuzz.distance import Levenshtein

from nanochat.command import entry_point, parse_args
from nanochat.files import write_text
from nanochat.reading.confidence import MAP, interpolate
from nanochat.reading.ocr import OCR
from nanochat.reading.page import Page
from nanochat.synth import LEVELS, TIERS, draw_document

SEED = 900_000_000  # of the first page
BINS = 12  # bins of the map, with equal numbers of words
TINY = 0.5  # right and wrong words added to each bin, so that no share is exactly 1


@dataclass
class Config:
    """Fit the map of probabilities that reports show."""

    pages: int = 60
    """number of synthetic pages to read, half notes and half pages; at least 8"""
    checkpoint: str = "nano"
    """model to read with"""


Words = np.ndarray  # (N, 2): the mean probability of a word's line; 1 if the word is right, else 0


def compare_words(page: Page, expected: str) -> Words:
    """The words of a page, compared in order with its text."""
    read = [(word, line.mean_probability) for line in page.lines for word in line.text.split()]
    right = np.zeros(len(read))
    for step in Levenshtein.opcodes([word for word, _ in read], expected.split()):
        if step.tag == "equal":
            right[step.src_start : step.src_end] = 1
    return np.stack([np.array([p for _, p in read]), right], 1) if read else np.zeros((0, 2))


def read_drawn(config: Config) -> Iterator[Words]:
    """Read synthetic pages, half of them with the heaviest degradation."""
    ocr = OCR(config.checkpoint, "cpu", "lines")
    levels = [name for tier in ("note", "page") for name in TIERS[tier]]
    for i in range(config.pages):
        level = LEVELS[levels[i % len(levels)]]
        document = draw_document(replace(level, degrade=1.0) if i // len(levels) % 2 else level, SEED + i)
        yield compare_words(ocr.read(Image.fromarray(document.image)), document.text)


def fit(words: Words) -> list[tuple[float, float]]:
    """Probability and share of right words in bins of equal size; bins are merged where the share would fall."""
    ordered = words[np.argsort(words[:, 0], kind="stable")]
    pools: list[tuple[float, float, float]] = []  # sum of probabilities, right words, words
    for some in np.array_split(ordered, BINS):
        pools.append((float(some[:, 0].sum()), float(some[:, 1].sum()), len(some)))
        while len(pools) > 1 and share(pools[-2]) >= share(pools[-1]):
            last = pools.pop()
            pools[-1] = tuple(a + b for a, b in zip(pools[-1], last))  # type: ignore[assignment]
    return [(round(p / n, 4), round(share((p, right, n)), 4)) for p, right, n in pools]


def share(pool: tuple[float, float, float]) -> float:
    """The share of right words of a pool."""
    return (pool[1] + TINY) / (pool[2] + 2 * TINY)


def calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error: the mean over words of |probability - share of right words| of their bin."""
    order = np.argsort(probabilities, kind="stable")
    bins = [some for some in np.array_split(order, BINS) if len(some)]
    gaps = [len(some) * abs(probabilities[some].mean() - right[some].mean()) for some in bins]
    return float(sum(gaps) / len(order))


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    pages = list(read_drawn(config))
    kinds = 4  # notes and pages, normally and heavily degraded: each occurs in both halves
    fitted, held_out = (
        np.concatenate([words for i, words in enumerate(pages) if i // kinds % 2 == half]) for half in (0, 1)
    )
    knots = fit(fitted)
    before = calibration_error(held_out[:, 0], held_out[:, 1])
    after = calibration_error(interpolate(knots, held_out[:, 0]), held_out[:, 1])
    stored = {
        "knots": knots, "words": len(fitted), "held_out_words": len(held_out),
        "calibration_error": {"before": round(before, 4), "after": round(after, 4)},
    }  # fmt: skip
    write_text(MAP, json.dumps(stored, indent=1) + "\n")
    print(json.dumps(stored, indent=1))


if __name__ == "__main__":
    main()
