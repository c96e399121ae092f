"""Scores over many images: error rates over all characters, and means over images, each with a 95% interval.

The intervals are bootstrap intervals: they estimate how much a figure varies between samples of images of the same
kind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rapidfuzz.distance import Levenshtein

from nanochat.metrics import (
    VALUES,
    exact_match,
    is_looping,
    normalise_text,
    normalised_edit_similarity,
    order_errors,
    relaxed_accuracy,
    values_right,
    word_precision_recall_f1,
)

DRAWS = 1000  # number of bootstrap samples
ALL = "all"  # the tier of all pictures together


@dataclass(frozen=True)
class PageScore:
    """The comparison of the text that one reader read in one image with the expected text."""

    id: str
    tier: str
    """the kind of picture, such as `line`, `note` or `page`"""
    expected: str
    """the expected text"""
    read: str
    """the text that was read"""
    seconds: float
    """time to read the image"""
    errors: int
    """wrong characters (Levenshtein distance); like all counts, after `metrics.normalise_text`"""
    order_errors: int
    """how many of those are wrong only because of the order of the text, `metrics.order_errors`"""
    characters: int
    """characters of the expected text"""
    word_errors: int
    """Levenshtein distance in words"""
    words: int
    """words of the expected text"""
    similarity: float
    """`metrics.normalised_edit_similarity`"""
    precision: float
    recall: float
    f1: float
    """precision, recall and f1 are those of `metrics.word_precision_recall_f1`"""
    values: dict[str, tuple[int, int]]
    """kind (amounts, dates, codes) -> (number read exactly, number expected), from `metrics.values_right`"""
    exact: bool
    """`metrics.exact_match`"""
    relaxed: bool
    """`metrics.relaxed_accuracy`"""
    looping: bool
    """whether the text repeats itself, by `metrics.is_looping` or because the reader stopped for it"""

    @property
    def cer(self) -> float:
        """The character error rate: errors per expected character; an empty text counts as one character."""
        return self.errors / max(1, self.characters)


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its 95% interval."""

    value: float
    low: float
    high: float


def score_page(
    name: str,
    tier: str,
    expected: str,
    read: str,
    seconds: float = 0.0,
    fold_case: bool = False,
    looped: bool = False,
) -> PageScore:
    """Compare the text that was read in one image with the expected text.

    `fold_case`: ignore case, because the expected text does not have the case of the image. `looped`: the reader
    stopped because its answer repeated itself.
    """
    wanted, found = (normalise_text(text, fold_case) for text in (expected, read))
    words = word_precision_recall_f1(found, wanted)
    return PageScore(
        id=name,
        tier=tier,
        expected=expected,
        read=read,
        seconds=seconds,
        errors=Levenshtein.distance(found, wanted),
        order_errors=order_errors(found, wanted),
        characters=len(wanted),
        word_errors=Levenshtein.distance(found.split(), wanted.split()),
        words=len(wanted.split()),
        similarity=normalised_edit_similarity(found, wanted),
        precision=words.precision,
        recall=words.recall,
        f1=words.f1,
        values=values_right(found, wanted),
        exact=exact_match(found, wanted),
        relaxed=relaxed_accuracy(found, wanted),
        looping=looped or is_looping(read, expected),
    )


@lru_cache(maxsize=1)  # the same for all figures of a set
def _resampled(n: int) -> np.ndarray:
    """(DRAWS, n): the indices of n pages drawn with replacement."""
    return np.random.default_rng(0).integers(0, n, (DRAWS, n))


def estimate_mean(counts: Sequence[float], totals: Sequence[float] | None = None) -> Estimate | None:
    """The sum of `counts` divided by that of `totals` (default: their number), with a bootstrap interval over pages.

    Equal input gives an equal interval. Returns None if the divisor is zero.
    """
    above = np.asarray(counts, np.float64)  # (pages,)
    below = np.ones_like(above) if totals is None else np.asarray(totals, np.float64)
    if below.sum() == 0:
        return None
    drawn = _resampled(len(above))
    sums = below[drawn].sum(1)  # (draws,)
    rates = above[drawn].sum(1)[sums > 0] / sums[sums > 0]
    low, high = np.quantile(rates, (0.025, 0.975))
    return Estimate(float(above.sum() / below.sum()), float(low), float(high))


def summarise_pages(pages: Sequence[PageScore]) -> dict[str, Estimate | None]:
    """All figures over at least one page, by name.

    cer and wer: errors of all pages divided by their characters or words, so that a long page has more weight than a
    short line. order: the part of cer that is due to the order of the text alone. amounts, dates, codes: share of these
    values, over all pages, that were read exactly; values: of all three. The others are means over pages: similarity,
    precision, recall, f1; exact, relaxed and looping (shares of pages); printed (characters) and seconds.
    """
    found = {
        "cer": estimate_mean([p.errors for p in pages], [p.characters for p in pages]),
        "order": estimate_mean([p.order_errors for p in pages], [p.characters for p in pages]),
        "wer": estimate_mean([p.word_errors for p in pages], [p.words for p in pages]),
        "printed": estimate_mean([len(p.read) for p in pages]),
    }
    for name, kinds in [("values", VALUES), *((kind, (kind,)) for kind in VALUES)]:
        right, all_of_them = ([sum(p.values[kind][i] for kind in kinds) for p in pages] for i in (0, 1))
        found[name] = estimate_mean(right, all_of_them)
    for name in ("similarity", "precision", "recall", "f1", "exact", "relaxed", "looping", "seconds"):
        found[name] = estimate_mean([float(getattr(page, name)) for page in pages])
    return found


def by_tier(pages: Iterable[PageScore]) -> dict[str, list[PageScore]]:
    """Tier -> its pages, in order of appearance; with several tiers, also `all` -> all pages, as the last entry."""
    tiers: dict[str, list[PageScore]] = {}
    for page in pages:
        tiers.setdefault(page.tier, []).append(page)
    if len(tiers) > 1:
        tiers[ALL] = [page for tier in tiers.values() for page in tier]
    return tiers


def worst_and_median(pages: Sequence[PageScore], n: int) -> tuple[list[PageScore], list[PageScore]]:
    """(the n pages with the highest error rate, worst first; the n pages around the median). They do not overlap."""
    ranked = sorted(pages, key=lambda page: -page.cer)
    start = max(min(n, len(ranked)), (len(ranked) - n) // 2)
    return ranked[:n], ranked[start : start + n]
