"""Plot whether a model learns to look: loss with the right and with wrong images, image gain, feature similarity.

python -m dev.seeing_plots --logs blind=out/blind/log recipe=out/nano/log --out=docs/images/seeing.svg

A log is the output of a training run (`... | tee LOG`); each becomes a curve with its name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.evaluation.compression import save_svg
from nanochat.training.validate import MAX_SIMILARITY, MIN_DIRECTIONS, MIN_GAIN

VALIDATION = re.compile(
    r"^step (?P<step>\d+)/\d+ \| Validation loss: (?P<loss>\S+)"
    r"(?:.*?\| image gain: (?P<gain>\S+))?"
    r"(?:.*?\| similarity: (?P<similarity>\S+) \(centred (?P<centred>\S+)\))?"
    r"(?:.*?\| directions: (?P<directions>\S+))?",
    re.MULTILINE,
)


@dataclass
class Config:
    """Plot the validations of training runs."""

    logs: tuple[str, ...]
    """NAME=FILE of each run: the output of its training"""
    out: Path = Path("out/seeing.svg")
    """SVG file to write"""


@dataclass(frozen=True)
class ValidationPoint:
    """One validation. Figures that were not measured are None."""

    step: int
    loss: float
    gain: float | None
    similarity: float | None
    centred: float | None
    directions: float | None = None

    @property
    def wrong_loss(self) -> float | None:
        """The loss with the images swapped."""
        return None if self.gain is None else self.loss + self.gain


def read_log(path: str | Path) -> list[ValidationPoint]:
    """The validations of a run in order. If a step was repeated after an interruption, its last validation counts.

    Raises UserError if the file does not exist or has no validation.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    points = {}
    for found in VALIDATION.finditer(text):
        figures = {k: None if v is None else float(v) for k, v in found.groupdict().items() if k != "step"}
        points[int(found["step"])] = ValidationPoint(int(found["step"]), **figures)  # type: ignore[arg-type]
    if not points:
        raise UserError(f"{path} contains no validation: is it the output of a training run?")
    return [points[step] for step in sorted(points)]


def plot(runs: Mapping[str, Sequence[ValidationPoint]]) -> Figure:
    """Plot four panels over steps: losses, image gain, similarity, directions, with a colour for each run."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    losses, gains, similarities, spreads = figure.subplots(2, 2).flat
    for i, (name, points) in enumerate(runs.items()):

        def curve(axes, field: str, label: str, style: str = "-", points=points, colour=f"C{i}") -> None:
            seen = [(p.step, getattr(p, field)) for p in points if getattr(p, field) is not None]
            axes.plot([x for x, _ in seen], [y for _, y in seen], color=colour, linestyle=style, label=label)

        curve(losses, "loss", f"{name}, right picture")
        curve(losses, "wrong_loss", f"{name}, wrong picture", ":")
        curve(gains, "gain", name)
        curve(similarities, "similarity", name)
        curve(similarities, "centred", f"{name}, mean subtracted", ":")
        curve(spreads, "directions", name)
    for axes, limit in ((gains, MIN_GAIN), (similarities, MAX_SIMILARITY), (spreads, MIN_DIRECTIONS)):
        axes.axhline(limit, color="grey", linewidth=0.8)
    ends = [points[-1].step for points in runs.values()]
    for axes, title, unit in (
        (losses, "Loss", "nats per token"),
        (gains, "Image gain", "nats per token"),
        (similarities, "Feature similarity of different pages", "mean cosine"),
        (spreads, "Directions in which they differ", "participation ratio"),
    ):
        axes.set(title=title, xlabel="step", ylabel=unit)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
        if max(ends) > 10 * min(ends):  # runs of very different lengths
            axes.set_xscale("log")
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
