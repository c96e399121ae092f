"""Percentiles and medians of pixels, by sorting.

`np.percentile` and `np.median` select each value by partitioning. For short columns and for bytes, sorting is several
times faster. The results are bitwise equal.
"""

from collections.abc import Iterable

import numpy as np


def percentiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Equal to `np.percentile(values, shares, axis=0)` for finite numbers: float64 (len(shares), ...).

    `values`: (N, ...), N at least 1. `shares`: percentages, 0 to 100.
    """
    if values.dtype.itemsize >= 4:
        ordered = np.sort(values, axis=0)
    elif values.ndim == 1:
        ordered = np.sort(values, kind="stable")  # a radix sort
    else:  # of many short columns, for which a radix sort takes longer
        ordered = np.sort(values.astype(np.uint16), axis=0)
    places = (len(ordered) - 1) * (np.array(shares, np.float64) / 100)
    before = np.floor(places).astype(np.intp)
    low, high = ordered[before], ordered[np.minimum(before + 1, len(ordered) - 1)]
    part = (places - before).reshape(-1, *[1] * (values.ndim - 1))
    apart = high - low
    return np.where(part >= 0.5, high - apart * (1 - part), low + apart * part)


def median(values: np.ndarray) -> float:
    """`np.median` of at least one byte or sum of a few bytes, uint8 or uint16 of any shape."""
    return median_of_counts(np.bincount(values.ravel()))


def middle(values: Iterable[float]) -> float:
    """`np.median` of a few numbers, at least one: for a dozen of them several times as fast."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def median_of_counts(counts: np.ndarray) -> float:
    """The median of whole numbers from 0 on, given how often each occurs; at least one does."""
    upto, n = np.cumsum(counts), int(np.sum(counts))
    low, high = np.searchsorted(upto, ((n - 1) // 2, n // 2), side="right").tolist()
    return (low + high) / 2


def weighted_median(values: list[float], weights: list[float]) -> float:
    """The weighted median: values of half the total weight do not exceed it."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(np.array(weights)[order])
    return values[order[int(np.searchsorted(total, total[-1] / 2))]]
