"""The cost of an archive in pages, tokens, hours and money: estimated from a sample, and measured after reading."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nanochat.archives.files import File
from nanochat.errors import UserError
from nanochat.files import write_text

SAMPLE = 16  # number of files to open, and approximate number of pages to read
MILLION = 1_000_000


class Clock:
    """Measures the time of a job, and the part of it before its first page is read."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first: float | None = None

    def saw(self, row: dict[str, Any]) -> None:
        """Note a row that has arrived. The first page was read from `call` seconds before its row arrived."""
        if self.first is None and row["call"]:
            self.first = max(self.started, time.monotonic() - row["call"])

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def starting(self) -> float:
        """Seconds from the start until the first page was being read."""
        return 0.0 if self.first is None else self.first - self.started


@dataclass(frozen=True)
class CostEstimate:
    """The estimated or measured cost of reading an archive."""

    pages: int
    tokens: int
    """tokens of the answers"""
    hours: float
    """duration, with all workers in parallel"""
    workers: int
    price: float
    """of one worker per hour"""
    starting: float = 0.0
    """the part of `hours` before the first page; it does not grow with the archive, so costs per page exclude it"""

    def __str__(self) -> str:
        per_million = (self.hours - self.starting) * self.workers * MILLION / max(1, self.pages)
        cost = f"{_hours(per_million)} worker-hours"
        if self.price:
            cost += f" or {per_million * self.price:,.2f} in cost"
        return (
            f"{self.pages:,} pages, {self.tokens:,} tokens, {_hours(self.hours)} hours with {self.workers} "
            f"worker{'s' if self.workers != 1 else ''}; a million pages: {cost}"
        )


def _hours(hours: float) -> str:
    """Hours with two digits, or as a whole number from 10 on: 0.024, 3.6, 5,260."""
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def choose_sample(files: Sequence[File]) -> list[File]:
    """Files at equal distances in the list."""
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
    """Estimate the cost of an archive from a sample. Also writes it to the folder `out`, for comparison after reading.

    `count(files)`: their number of pages. `read(files, most)`: rows of at most that many pages of each file, as in the
    job. The cost of a page is the time that a worker was busy with it (`spent`), which is more than the time of the
    model alone. `clock`: started with the command. Raises UserError if no page of the sample can be read.
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
    write_text(out / "estimate.json", json.dumps(asdict(found)))
    return found


def read_estimate(out: Path) -> CostEstimate | None:
    """The estimate that `estimate` wrote to a folder; None if there is none."""
    path = out / "estimate.json"
    return CostEstimate(**json.loads(path.read_text())) if path.is_file() else None
