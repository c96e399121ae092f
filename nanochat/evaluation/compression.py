"""The compression curve: how well text is read, against the number of text tokens per vision token.

This is the main result of the DeepSeek-OCR paper (arXiv:2510.18234), measured for our model. Both counts are those of
the model: text tokens of its tokenizer (for nano, characters; a token of DeepSeek-OCR is about four), and vision tokens
including row ends and separators.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from nanochat.evaluation.scores import Estimate, PageScore, estimate_mean
from nanochat.files import atomic_path

FEWEST = 5  # pages in a bin that is shown


@dataclass(frozen=True)
class Bin:
    """The pages with `low` <= text tokens per vision token < `high`, and how well they were read."""

    low: float
    high: float
    pages: int
    precision: Estimate
    """share of the words read that are on the page"""
    similarity: Estimate
    """1 - normalised edit distance"""


def compression_curve(ratios: Sequence[float], pages: Sequence[PageScore]) -> list[Bin]:
    """Group pages by text tokens per vision token (`ratios`, one for each page), in bins of width 1.

    Pages without text and bins with fewer than FEWEST pages are left out.
    """
    by_bin: dict[int, list[PageScore]] = {}
    for ratio, page in zip(ratios, pages, strict=True):
        if page.characters:
            by_bin.setdefault(math.floor(ratio), []).append(page)
    curve = []
    for number, found in sorted(by_bin.items()):
        precision, similarity = (
            estimate_mean([p.precision for p in found]),
            estimate_mean([p.similarity for p in found]),
        )
        if len(found) >= FEWEST and precision and similarity:
            curve.append(Bin(float(number), float(number + 1), len(found), precision, similarity))
    return curve


def plot_compression(curve: Sequence[Bin], title: str, path: str | Path) -> Path:
    """Plot the curve as SVG, with intervals and the number of pages in each bin. Returns the path.

    Raises UserError if the file cannot be written.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    middles = [(b.low + b.high) / 2 for b in curve]
    for name, label, marker in (("precision", "words right", "o"), ("similarity", "1 - edit distance", "s")):
        found: list[Estimate] = [getattr(b, name) for b in curve]
        values = [100 * e.value for e in found]
        spread = [[100 * (e.value - e.low) for e in found], [100 * (e.high - e.value) for e in found]]
        axes.errorbar(middles, values, yerr=spread, marker=marker, capsize=3, label=label)
    for middle, b in zip(middles, curve):
        axes.annotate(f"n={b.pages}", (middle, 2), ha="center", fontsize=8, color="grey")
    axes.set(title=title, xlabel="text tokens per vision token", ylabel="%", ylim=(0, 102))
    axes.grid(alpha=0.3)
    if curve:
        axes.legend(loc="upper right")
    return save_svg(figure, path)


def save_svg(figure: Figure, path: str | Path) -> Path:
    """Write a figure as SVG with a white background and with text as text. Equal figures give equal files."""
    from matplotlib import rc_context

    with atomic_path(path) as temporary, rc_context({"svg.hashsalt": "nano", "svg.fonttype": "none"}):
        figure.savefig(temporary, format="svg", metadata={"Date": None}, facecolor="white")
    return Path(path)
