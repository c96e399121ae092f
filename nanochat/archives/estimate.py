"""What an archive takes: pages, tokens, hours and cost, estimated from a sample, and what it was in the end."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nanochat.archives.files import File
from nanochat.errors import UserError
from nanochat.files import atomic_path

SAMPLE = 16  # files that are opened, and about as many pages that are read
MILLION = 1_000_000


class Clock:
    """Seconds of a job, and how many of them went by before its first page was being read."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first: float | None = None

    def saw(self, row: dict[str, Any]) -> None:
        """Note a row that is ready; the first that a model has read began its `call` seconds ago."""
        if self.first is None and row["call"]:
            self.first = max(self.started, time.monotonic() - row["call"])

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def starting(self) -> float:
        return 0.0 if self.first is None else self.first - self.started


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
    starting: float = 0.0
    """of the hours those before the first page: a larger archive has them once, so a million pages leave them out"""

    def __str__(self) -> str:
        per_million = (self.hours - self.starting) * self.workers * MILLION / max(1, self.pages)
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
    clock: Clock,
) -> CostEstimate:
    """Figures of a whole archive from a sample, also kept in `out` for the end to compare with.

    `count(files)`: their pages; `read(files, most)`: rows of at most so many pages of each, as a job gets them. What
    a page takes is the time that a worker was busy with it (`spent`), not the model's seconds alone: the job's hours
    have it all. `clock` was started with the command. Raises UserError when no page of the sample can be read.
    """
    sample = choose_sample(files)
    rows: list[dict[str, Any]] = []
    for row in read(sample, -(-SAMPLE // len(sample))):
        clock.saw(row)
        if json.loads(row["result"]) is not None:
            rows.append(row)
    if not rows:
        raise UserError(f"no page in a sample of {len(sample)} files could be read, so nothing can be estimated")
    pages = round(count(sample) * len(files) / len(sample))
    tokens = sum(json.loads(row["result"])["tokens"] for row in rows) / len(rows)
    spent = sum(row["spent"] for row in rows) / len(rows)
    starting = clock.starting() / 3600
    hours = starting + spent * pages / workers / 3600
    found = CostEstimate(pages, round(tokens * pages), hours, workers, price, starting)
    with atomic_path(out / "estimate.json") as temporary:
        temporary.write_text(json.dumps(asdict(found)))
    return found


def read_estimate(out: Path) -> CostEstimate | None:
    """The figures that `estimate` left in a folder."""
    path = out / "estimate.json"
    return CostEstimate(**json.loads(path.read_text())) if path.is_file() else None
