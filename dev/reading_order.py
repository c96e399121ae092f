"""Measure reading order alone: drawn pages of each kind, read in the order found by one who makes no mistake.

    python -m dev.reading_order --n=60 --seed=1
    python -m dev.reading_order --n=20 --seed=1 --detector

Without `--detector` the true lines are put in order, so that only the order can be wrong; with it, those that the line
detector finds. Prints the character error rate of each kind.
"""

from argparse import ArgumentParser

from dev.ordered.kinds import KINDS, draw_page
from dev.ordered.press import Press
from nanochat.evaluation.metrics import character_error_rate, normalise_text
from nanochat.lines.finder import find_segments
from nanochat.lines.layout import arrange


def order_error(page: Press, detector: bool = False) -> float:
    """Character error rate of a page whose lines, true ones or found by the detector, are read in the order found."""
    segments = find_segments(page.picture) if detector else [line.segment() for line in page.written]
    read = page.ordered([list(line.segments) for line in arrange(page.picture, segments)])
    return character_error_rate(normalise_text(read), normalise_text(page.expected))


def main() -> None:
    """Print a row for each kind."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=60, help="pages of each kind")
    parser.add_argument("--seed", type=int, default=1, help="another one draws other pages")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--detector", action="store_true", help="find the lines in the picture")
    given = parser.parse_args()
    for kind in given.kinds:
        errors = [order_error(draw_page(kind, 1000 * given.seed + i), given.detector) for i in range(given.n)]
        wrong = " ".join(f"{1000 * given.seed + i}:{e:.2f}" for i, e in enumerate(errors) if e > 0.02)
        print(f"{kind:14} {sum(errors) / len(errors):7.2%}  {wrong}", flush=True)


if __name__ == "__main__":
    main()
