"""Calibrated confidence of a line: the share of words that are right at the mean probability that the model gives it.

The map was fitted on synthetic pages by `python -m dev.calibrate`, for the model that comes with the project.
"""

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

MAP = Path(__file__).with_name("confidence.json")


@cache
def _knots() -> list[tuple[float, float]]:
    return [tuple(knot) for knot in json.loads(MAP.read_text(encoding="utf-8"))["knots"]]


def interpolate(knots: Sequence[tuple[float, float]], probabilities: np.ndarray) -> np.ndarray:
    """The share of right words at each probability, (N,): straight lines between the knots, 0 at 0."""
    x, y = np.array([(0.0, 0.0), *knots]).T
    return np.interp(probabilities, x, y)


def confidence(probability: float) -> int:
    """Per cent of words that are right in lines with this mean probability, rounded down."""
    share = float(interpolate(_knots(), np.array([probability]))[0])
    return math.floor(100 * share + 1e-6)
