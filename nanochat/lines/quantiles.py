"""Percentiles and medians of pixels, by sorting.

`np.percentile` and `np.median` select each value by partitioning. For short columns and for bytes, sorting is several
times faster. The results are bitwise equal.
"""

import numpy as np


def percentiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Equal to `np.percentile(values, shares, axis=0)` for finite numbers: float64 (len(shares), ...).

    `values`: (N, ...), N at least 1. `shares`: percentages, 0 to 100.
    """
    ordered = np.sort(values, axis=0, kind="stable" if values.dtype.itemsize < 4 else None)
    places = (len(ordered) - 1) * (np.array(shares, np.float64) / 100)
    before = np.floor(places).astype(np.intp)
    low, high = ordered[before], ordered[np.minimum(before + 1, len(ordered) - 1)]
    part = (places - before).reshape(-1, *[1] * (values.ndim - 1))
    apart = high - low
    return np.where(part >= 0.5, high - apart * (1 - part), low + apart * part)


def median(values: np.ndarray) -> float:
    """Equal to `np.median` for uint8 values of any shape, at least one."""
    ordered = np.sort(values, axis=None, kind="stable")  # a radix sort
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (int(ordered[middle - 1]) + int(ordered[middle])) / 2
