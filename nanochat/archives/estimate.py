"""What an archive takes: pages, tokens, hours and cost, estimated from a sample, and what it was in the end."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nanochat.archives.files import File
from nanochat.errors import UserError
from nanochat.files import atomic_path

SAMPLE = 16  # files that are opened, and about as many pages that are read
MILLION = 1_000_000


@dataclass(frozen=True)
class CostEstimate:
    """What reading an archive takes, or took."""

    pages: int
    tokens: int
    """of the answers"""
    hours: float
    """with all workers together"""
    workers: int
    price: float
    """of one worker in an hour"""

    def __str__(self) -> str:
        per_million = self.hours * self.workers * MILLION / max(1, self.pages)
        cost = f"{per_million:.3g} worker-hours"
        if self.price:
            cost += f" or {per_million * self.price:,.2f} in cost"
        return (
            f"{self.pages:,} pages, {self.tokens:,} tokens, {self.hours:.2g} hours with {self.workers} "
            f"worker{'s' if self.workers != 1 else ''}; a million pages: {cost}"
        )


def choose_sample(files: Sequence[File]) -> list[File]:
    """Files at equal distances through the archive."""
    n = min(SAMPLE, len(files))
    return [files[i * len(files) // n] for i in range(n)]


def estimate(
    files: Sequence[File],
    count: Callable[[list[File]], int],
    read: Callable[[list[File], int], Iterator[dict[str, Any]]],
    workers: int,
    price: float,
    out: Path,
) -> CostEstimate:
    """Figures of a whole archive from a sample, also kept in `out` for the end to compare with.

    `count(files)`: their pages; `read(files, most)`: what was read from at most so many pages of each. Raises
    UserError when no page of the sample can be read.
    """
    sample = choose_sample(files)
    results = [result for result in read(sample, -(-SAMPLE // len(sample))) if result is not None]
    if not results:
        raise UserError(f"nothing could be read of a sample of {len(sample)} files: there is nothing to go by")
    pages = round(count(sample) * len(files) / len(sample))
    tokens, seconds = (sum(result[key] for result in results) / len(results) for key in ("tokens", "seconds"))
    found = CostEstimate(pages, round(tokens * pages), seconds * pages / workers / 3600, workers, price)
    with atomic_path(out / "estimate.json") as temporary:
        temporary.write_text(json.dumps(asdict(found)))
    return found


def read_estimate(out: Path) -> CostEstimate | None:
    """The figures that `estimate` left in a folder."""
    path = out / "estimate.json"
    return CostEstimate(**json.loads(path.read_text())) if path.is_file() else None
