"""Measure the reading order on synthetic pages of each kind, with the words themselves read perfectly.

python -m dev.reading_order --n=60 --seed=1
python -m dev.reading_order --n=20 --seed=1 --detector

Prints the character error rate of each kind. By default the true lines are ordered, so that only the order can be
wrong; with --detector, the lines of the line detector are.
"""

from dataclasses import dataclass

from dev.ordered.kinds import KINDS, draw_page
from dev.ordered.press import Press
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.lines.finder import find_segments
from nanochat.lines.layout import arrange
from nanochat.metrics import character_error_rate, normalise_text


@dataclass
class Config:
    n: int = 60
    """number of pages of each kind"""
    seed: int = 1
    """random seed of the pages"""
    kinds: tuple[str, ...] = tuple(KINDS)
    """kinds of pages"""
    detector: bool = False
    """use the lines of the line detector"""


def order_error(page: Press, detector: bool = False) -> float:
    """Character error rate of a page, read in the order found. `detector`: use the lines of the line detector."""
    segments = find_segments(page.picture) if detector else [line.segment() for line in page.written]
    read = page.ordered([list(line.segments) for line in arrange(page.picture, segments)])
    return character_error_rate(normalise_text(read), normalise_text(page.expected))


@entry_point
def main() -> None:
    """Print the error rate of each kind."""
    config = parse_args(Config, description=__doc__)
    unknown = [kind for kind in config.kinds if kind not in KINDS]
    if unknown:
        raise UserError(f"no kind called {unknown[0]!r}: choose from {', '.join(KINDS)}")
    for kind in config.kinds:
        errors = [order_error(draw_page(kind, 1000 * config.seed + i), config.detector) for i in range(config.n)]
        wrong = " ".join(f"{1000 * config.seed + i}:{e:.2f}" for i, e in enumerate(errors) if e > 0.02)
        print(f"{kind:14} {sum(errors) / len(errors):7.2%}  {wrong}", flush=True)


if __name__ == "__main__":
    main()
