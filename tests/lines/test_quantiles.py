"""Percentiles and medians of pixels, compared with NumPy."""

import numpy as np
import pytest

from nanochat.lines.quantiles import median, percentiles


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "float64"])
def test_percentiles_are_bitwise_equal_to_numpy(kind: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 5), (2, 7), (12, 33), (34, 20), (101,)):
        values = (rng.integers(0, 766, shape) / 3).astype(kind)
        for shares in ((10, 90), (97, 3), (98,), (0, 100), (25, 50, 13.7)):
            found, expected = percentiles(values, shares), np.percentile(values, shares, axis=0)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [1, 2, 7, 400])
def test_median_of_a_channel_equals_numpy(size: int) -> None:
    pixels = np.random.default_rng(size).integers(0, 256, (3, size, 3), dtype=np.uint8)
    assert median(pixels[..., 1]) == np.median(pixels[..., 1])
    assert median(pixels[:2, :, 2]) == np.median(pixels[:2, :, 2])
