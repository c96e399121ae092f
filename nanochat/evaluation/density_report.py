"""The results of the density study as a table, a plot, and images of the pages with the most errors."""

from collections.abc import Sequence
from pathlib import Path

import tiktoken
from matplotlib.figure import Figure

from nanochat.evaluation.compression import save_svg
from nanochat.evaluation.density import DensityPoint
from nanochat.evaluation.scores import Estimate, estimate_mean
from nanochat.files import atomic_path

PUBLIC_TOKENIZER = "cl100k_base"
"""a public tokenizer (tiktoken); nano's own tokens are characters, which would make its compression look four times as
high"""


def count_public_tokens(texts: Sequence[str]) -> float | None:
    """Characters per token of PUBLIC_TOKENIZER over these texts; None if the tokenizer is not available.

    tiktoken downloads it once, or finds it in the folder in TIKTOKEN_CACHE_DIR.
    """
    try:
        encoding = tiktoken.get_encoding(PUBLIC_TOKENIZER)
    except Exception:  # various errors of `requests`
        return None
    tokens = sum(len(tokens) for tokens in encoding.encode_ordinary_batch(list(texts)))
    return sum(map(len, texts)) / max(1, tokens)


def point_error_rate(point: DensityPoint) -> Estimate:
    """Character error rate over all pages of a point, with its interval."""
    found = estimate_mean([p.errors for p in point.pages], [p.characters for p in point.pages])
    assert found is not None
    return found


def study_table(points: Sequence[DensityPoint], public: float | None) -> str:
    """A Markdown table with a row for each point. `public`: characters per token of PUBLIC_TOKENIZER, or None."""
    named = f"{PUBLIC_TOKENIZER} tokens / vision token"
    head = [
        *("text", "type px", "vision tokens", "characters / vision token", named, "n", "characters wrong"),
        *("precision", "exact pages", "loops", "first to last tenth", "loss: own, other, blank, none"),
        "seconds: encode, decode",
    ]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for point in points:
        rate, pages = point_error_rate(point), point.pages
        density = point.characters / point.vision_tokens
        precision = sum(p.precision for p in pages) / len(pages)
        losses = ", ".join(f"{loss:.2f}" for loss in point.losses.values())
        cells = [
            point.kind, f"{point.type_px:.0f}", str(point.vision_tokens), f"{density:.1f}",
            "-" if public is None else f"{density / public:.1f}", str(len(pages)),
            f"{rate.value:.1%} ({100 * rate.low:.1f} to {100 * rate.high:.1f})", f"{precision:.1%}",
            f"{sum(p.exact for p in pages)} of {len(pages)}", str(point.loops),
            f"{point.wrong_by_tenth[0]:.0%} to {point.wrong_by_tenth[-1]:.0%}", losses,
            f"{point.encoding:.2f}, {point.decoding:.2f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot_study(points: Sequence[DensityPoint], path: str | Path, public: float | None) -> Path:
    """Plot precision against compression as SVG, with a panel for each kind of text and a line for each view size."""
    kinds = list(dict.fromkeys(point.kind for point in points))
    budgets = sorted({point.vision_tokens for point in points})
    figure = Figure(figsize=(3.2 * len(kinds), 3.6), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for panel, kind in zip(panels, kinds):
        for budget in budgets:
            some = [p for p in points if p.kind == kind and p.vision_tokens == budget]
            some.sort(key=lambda p: p.characters)
            rates = [point_error_rate(p) for p in some]
            right = [100 * max(0.0, 1 - rate.value) for rate in rates]
            low = [100 * min(1.0, rate.high) - 100 * min(1.0, rate.value) for rate in rates]
            high = [100 * min(1.0, rate.value) - 100 * min(1.0, rate.low) for rate in rates]
            places = [p.characters / p.vision_tokens for p in some]
            panel.errorbar(places, right, yerr=[low, high], marker="o", capsize=2, label=f"{budget} vision tokens")
            for x, y, p in zip(places, right, some):
                panel.annotate(f"{p.type_px:.0f} px", (x, y), textcoords="offset points", xytext=(4, 4), fontsize=7)
        panel.set(title=kind, xlabel="characters per vision token", ylim=(0, 102))
        panel.grid(alpha=0.3)
        if public is not None:
            above = panel.secondary_xaxis("top", functions=(lambda x: x / public, lambda x: x * public))
            above.set_xlabel(f"{PUBLIC_TOKENIZER} tokens per vision token", fontsize=8)
    panels[0].set_ylabel("characters right, %")
    panels[0].legend(fontsize=8)
    return save_svg(figure, path)


def write_worst(points: Sequence[DensityPoint], n: int, folder: Path) -> None:
    """Write the `n` pages with the highest error rate: NAME.png, and NAME.txt with the true text and the text read."""
    every = [(page, image) for point in points for page, image in zip(point.pages, point.images)]
    every.sort(key=lambda pair: -pair[0].cer)
    for place, (page, image) in enumerate(every[:n], 1):
        with atomic_path(folder / f"worst_{place}.png") as temporary:
            image.save(temporary, format="PNG")
        with atomic_path(folder / f"worst_{place}.txt") as temporary:
            wrong = f"{page.id}: {page.errors} of {page.characters} characters wrong"
            temporary.write_text(f"{wrong}\n\n{page.expected}\n\n--- read:\n{page.read}\n", encoding="utf-8")
