"""Scores of many pictures: shares of all their characters and means over them, each with an interval.

The interval is that of a bootstrap: what the figure would have been, in 95 of 100 cases, had other pictures of the same
kind been drawn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from nanochat.evaluation.metrics import (
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

DRAWS = 1000  # of the bootstrap
ALL = "all"  # the tier of all pictures together


@dataclass(frozen=True)
class PageScore:
    """One picture, read by one reader, compared with what is written on it."""

    id: str
    tier: str
    """the kind of picture, such as `line`, `note` or `page`"""
    expected: str
    read: str
    seconds: float
    errors: int
    """characters to add, drop or change; all counts after `metrics.normalise_text`"""
    order_errors: int
    """how many of these are due to the order of the text alone, `metrics.order_errors`"""
    characters: int
    """of the expected text"""
    word_errors: int
    words: int
    similarity: float
    """`metrics.normalised_edit_similarity`"""
    precision: float
    recall: float
    f1: float
    """these three: `metrics.word_precision_recall_f1`"""
    values: dict[str, tuple[int, int]]
    """of each kind, amounts, dates and codes: how many were read exactly, and how many there are"""
    exact: bool
    relaxed: bool
    """`metrics.relaxed_accuracy`"""
    looping: bool
    """`metrics.is_looping`, or the reader itself noticed and stopped"""

    @property
    def cer(self) -> float:
        """Errors for each expected character; an empty text counts as one."""
        return self.errors / max(1, self.characters)


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its 95% interval."""

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
    """Compare what a reader printed with what is there.

    `fold_case`: the expected text has lost its case; `looped`: the reader stopped because it repeated itself.
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


def estimate(counts: Sequence[float], totals: Sequence[float] | None = None, seed: int = 0) -> Estimate | None:
    """Sum of `counts` over the sum of `totals` (by default their number), and the interval of a bootstrap over pages.

    None when there is nothing to divide by.
    """
    above = np.asarray(counts, np.float64)  # (pages,)
    below = np.ones_like(above) if totals is None else np.asarray(totals, np.float64)
    if below.sum() == 0:
        return None
    drawn = np.random.default_rng(seed).integers(0, len(above), (DRAWS, len(above)))
    sums = below[drawn].sum(1)  # (draws,)
    rates = above[drawn].sum(1)[sums > 0] / sums[sums > 0]
    low, high = np.quantile(rates, (0.025, 0.975))
    return Estimate(float(above.sum() / below.sum()), float(low), float(high))


def summarise_pages(pages: Sequence[PageScore]) -> dict[str, Estimate | None]:
    """Every figure over at least one page, by name.

    cer and wer: errors of all pages over their characters and words, so that a long page weighs more than a short
    line. order: the part of cer that is due to the order of the text alone, so that cer - order is what letters cost.
    amounts, dates, codes: shares of these values of all pages that were read exactly; values: of all three. The others
    are means over pages: similarity, precision, recall, f1; exact, relaxed and looping as shares of the pages;
    characters printed and seconds for each page.
    """
    found = {
        "cer": estimate([p.errors for p in pages], [p.characters for p in pages]),
        "order": estimate([p.order_errors for p in pages], [p.characters for p in pages]),
        "wer": estimate([p.word_errors for p in pages], [p.words for p in pages]),
        "printed": estimate([len(p.read) for p in pages]),
    }
    for name, kinds in [("values", VALUES), *((kind, (kind,)) for kind in VALUES)]:
        right, all_of_them = ([sum(p.values[kind][i] for kind in kinds) for p in pages] for i in (0, 1))
        found[name] = estimate(right, all_of_them)
    for name in ("similarity", "precision", "recall", "f1", "exact", "relaxed", "looping", "seconds"):
        found[name] = estimate([float(getattr(page, name)) for page in pages])
    return found


def by_tier(pages: Iterable[PageScore]) -> dict[str, list[PageScore]]:
    """The pages of each tier in order of appearance; with more than one tier, all of them as a last one."""
    tiers: dict[str, list[PageScore]] = {}
    for page in pages:
        tiers.setdefault(page.tier, []).append(page)
    if len(tiers) > 1:
        tiers[ALL] = [page for tier in tiers.values() for page in tier]
    return tiers


def worst_and_median(pages: Sequence[PageScore], n: int) -> tuple[list[PageScore], list[PageScore]]:
    """The n pages with the highest error rate, worst first, and the n in the middle; no page stands in both."""
    ranked = sorted(pages, key=lambda page: -page.cer)
    start = max(min(n, len(ranked)), (len(ranked) - n) // 2)
    return ranked[:n], ranked[start : start + n]
