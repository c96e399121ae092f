"""Plot whether a model learns to look: loss with the right and with wrong pictures, image gain, similarity of features.

python -m scripts.seeing_plots --logs blind=out/blind/log recipe=out/nano/log --out=docs/images/seeing.svg

A log is what training prints (`... | tee LOG`); each is a curve under its name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from nanochat.common import UserError, entry_point, parse_args
from nanochat.compression import save_svg
from nanochat.validate import MAX_SIMILARITY, MIN_GAIN

VALIDATION = re.compile(
    r"^step (?P<step>\d+)/\d+ \| Validation loss: (?P<loss>\S+)"
    r"(?:.*?\| image gain: (?P<gain>\S+))?"
    r"(?:.*?\| similarity: (?P<similarity>\S+) \(centred (?P<centred>\S+)\))?",
    re.MULTILINE,
)


@dataclass
class Config:
    """Draw the validations of training runs."""

    logs: tuple[str, ...]
    """NAME=FILE of each run: what its training printed"""
    out: Path = Path("out/seeing.svg")
    """SVG to write"""


@dataclass(frozen=True)
class Point:
    """One validation; what was not measured is None."""

    step: int
    loss: float
    gain: float | None
    similarity: float | None
    centred: float | None


def read_log(path: str | Path) -> list[Point]:
    """The validations of a run in order; of a step that was done again after a stop, the last one.

    Raises UserError when there is no such file or no validation in it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    points = {}
    for found in VALIDATION.finditer(text):
        figures = {k: None if v is None else float(v) for k, v in found.groupdict().items() if k != "step"}
        points[int(found["step"])] = Point(int(found["step"]), **figures)  # type: ignore[arg-type]
    if not points:
        raise UserError(f"{path} holds no validation: is it what a training run printed?")
    return [points[step] for step in sorted(points)]


def plot(runs: Mapping[str, Sequence[Point]]) -> Figure:
    """Three panels over steps: losses, image gain, similarity; a colour for each run."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    losses, gains, similarities = figure.subplots(1, 3)
    for i, (name, points) in enumerate(runs.items()):
        colour = f"C{i}"
        steps = [p.step for p in points]
        losses.plot(steps, [p.loss for p in points], color=colour, label=f"{name}, right picture")
        swapped = [(p.step, p.loss + p.gain) for p in points if p.gain is not None]
        losses.plot(*zip(*swapped), color=colour, linestyle=":", label=f"{name}, wrong picture")
        gains.plot(*zip(*((p.step, p.gain) for p in points if p.gain is not None)), color=colour, label=name)
        seen = [p for p in points if p.similarity is not None]
        similarities.plot([p.step for p in seen], [p.similarity for p in seen], color=colour, label=name)
        similarities.plot([p.step for p in seen], [p.centred for p in seen], color=colour, linestyle=":",
                          label=f"{name}, centred")  # fmt: skip
    gains.axhline(MIN_GAIN, color="grey", linewidth=0.8)
    similarities.axhline(MAX_SIMILARITY, color="grey", linewidth=0.8)
    for axes, title, unit in (
        (losses, "Loss", "nats a token"),
        (gains, "Image gain", "nats a token"),
        (similarities, "Similarity of different pages", "mean cosine"),
    ):
        axes.set(title=title, xlabel="step", ylabel=unit)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
        if max(len(points) and points[-1].step for points in runs.values()) > 10 * min(
            points[-1].step for points in runs.values()
        ):
            axes.set_xscale("log")  # runs of very different lengths
    return figure


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    runs = {}
    for log in config.logs:
        name, equals, path = log.partition("=")
        if not equals:
            raise UserError(f"--logs {log}: give NAME=FILE")
        runs[name] = read_log(path)
    print(save_svg(plot(runs), config.out))


if __name__ == "__main__":
    main()
