"""The confidence of a line in a report: the fit to a known law, and the stored map."""

import json

import numpy as np
import pytest

from dev.calibrate import calibration_error, compare_words, fit
from nanochat.reading.confidence import MAP, confidence, interpolate
from nanochat.reading.page import Page, TextLine


def drawn(n: int, seed: int) -> np.ndarray:
    """Words of an overconfident model: the share of right words is the square of its probability."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.3, 1, n)
    return np.stack([p, rng.random(n) < p**2], 1)


def test_fit_recovers_the_share_of_right_words() -> None:
    knots, held_out = fit(drawn(20_000, 1)), drawn(20_000, 2)
    shares = [y for _, y in knots]
    assert shares == sorted(shares)
    assert interpolate(knots, np.array([0.5, 0.8])) == pytest.approx([0.25, 0.64], abs=0.03)
    before = calibration_error(held_out[:, 0], held_out[:, 1])
    assert before == pytest.approx(0.65 - np.mean(np.linspace(0.3, 1, 1001) ** 2), abs=0.01)  # E[p] - E[p^2]
    assert calibration_error(interpolate(knots, held_out[:, 0]), held_out[:, 1]) < 0.02


def test_words_are_compared_in_order_with_the_text() -> None:
    lines = [TextLine("TOTAL 9.00", None, 0.9, 0.5), TextLine("Cach 10.00", None, 0.6, 0.5)]
    page = Page("", 1, 1, 1, 0.1, "end", lines=lines)
    assert compare_words(page, "TOTAL 9.00\nCash 10.00").tolist() == [[0.9, 1], [0.9, 1], [0.6, 0], [0.6, 1]]
    assert compare_words(Page("", 1, 1, 1, 0.1, "end"), "TOTAL").shape == (0, 2)


def test_stored_map_is_never_certain() -> None:
    sure = [confidence(p) for p in np.linspace(0, 1, 201)]
    assert sure == sorted(sure) and sure[0] == 0 and sure[-1] <= 99
    errors = json.loads(MAP.read_text())["calibration_error"]
    assert errors["after"] < errors["before"]
