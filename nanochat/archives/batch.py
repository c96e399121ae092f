"""`nano-ocr batch`: an archive from files to the ledger, and from the ledger to the results.

A large archive is read by Ray's processes (`cluster.py`), a small one by this process, which then need not start any
(`alone.py`). Both give the same rows. This process alone writes the ledger, a page at a time and each page once, so
whatever is killed, this process too, the job goes on from there.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nanochat.archives.alone import is_small, rows_of_this_process
from nanochat.archives.cluster import plan_workers, ray_running, rows_of_ray
from nanochat.archives.estimate import Clock, CostEstimate, estimate, read_estimate
from nanochat.archives.files import INSIDE, File
from nanochat.archives.pages import count_pages
from nanochat.archives.results import write_results
from nanochat.archives.settings import BatchSettings
from nanochat.archives.worker import KEYS, Rows
from nanochat.errors import UserError
from nanochat.prompts import asked
from nanochat.reading.documents import InputPage
from nanochat.reading.job import Job, summary
from nanochat.reading.ledger import Ledger
from nanochat.reading.ocr import find_model
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import READ, PageState

OnPage = Callable[[InputPage, PageState], None]


@dataclass
class Tally:
    """What a job has done."""

    clock: Clock = field(default_factory=Clock)
    pages: int = 0
    tokens: int = 0
    looped: int = 0
    workers: int = 1
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, page: InputPage, result: dict[str, Any] | None) -> None:
        self.pages += page.state != PageState.SKIPPED
        if result is None:
            if page.state == PageState.FAILED:
                self.failures[_kind(page)] += 1
            return
        self.tokens += result["tokens"]
        self.looped += page.state in (PageState.LOOPED, PageState.REPAIRED)

    def report(self, settings: BatchSettings) -> str:
        """Pages a minute, failures by kind, loops caught, and what it took beside what was expected."""
        if not self.pages:
            return "nothing was left to read"
        hours = self.clock.seconds() / 3600
        lines = [f"{self.pages / hours / 60:.1f} pages a minute, {self.looped} loops caught"]
        lines += [f"{n} failed: {kind}" for kind, n in self.failures.most_common()]
        expected = read_estimate(settings.out)
        if expected is not None:
            lines.append(f"expected: {expected}")
        lines.append(f"it was: {self.figures(hours, settings.price)}")
        return "\n".join(lines)

    def figures(self, hours: float, price: float) -> CostEstimate:
        """What it took, counted as an estimate counts."""
        return CostEstimate(self.pages, self.tokens, hours, self.workers, price, self.clock.starting() / 3600)


def _kind(page: InputPage) -> str:
    """What a page failed of, without its name and numbers."""
    why = page.why.removeprefix(page.source.name).removeprefix(f", page {page.number}")
    return why.partition("(")[0].strip(" :")


def _job(settings: BatchSettings) -> Job:
    prompt = asked(settings.task or "free", settings.prompt)
    return Job([], prompt, max_tokens=settings.max_tokens, seconds=settings.seconds, text_layer=settings.text_layer)


@dataclass
class _Crew:
    """Who reads: how many models, and how to have files read and their pages counted."""

    n: int
    rows: Callable[[list[dict[str, str]], int | None], Iterator[Rows]]
    """of the ledger, as they are ready, from files to do and the most pages of each; see `Opening`, `Reader`"""
    count: Callable[[list[File]], int]


@contextmanager
def _crew(files: list[File], settings: BatchSettings, checkpoint: str, mode: str) -> Iterator[_Crew]:
    """This process for few pages, else Ray's. Raises UserError when Ray cannot be started."""
    job, selection = _job(settings), Selection(settings.pages)

    def count(some: list[File]) -> int:
        return sum(count_pages(file, selection, settings.dpi, settings.password) for file in some)

    if is_small(files, settings):
        print("few pages: they are read in this process; --model_workers N starts N others", file=sys.stderr)
        yield _Crew(1, lambda some, most: rows_of_this_process(some, settings, checkpoint, mode, job, most), count)
        return
    with ray_running(settings.address):
        import ray

        workers = plan_workers(settings)
        counting = ray.remote(num_cpus=workers.opening_cpus)(count_pages)

        def count_there(some: list[File]) -> int:
            asked_of = (counting.remote(file, selection, settings.dpi, settings.password) for file in some)
            return sum(ray.get(list(asked_of)))

        yield _Crew(
            workers.n,
            lambda some, most: rows_of_ray(some, settings, checkpoint, mode, job, workers, most),
            count_there,
        )


def _to_do(files: Sequence[File], ledger: Ledger) -> list[dict[str, str]]:
    """The files that have pages to read, each with those pages that need no reading."""
    done: dict[str, list[tuple[str, int]]] = defaultdict(list)
    known = {file.address: file.fingerprint for file in files}
    for source, page, _ in ledger.pages():
        address = source if source in known else source.partition(INSIDE)[0]
        if address in known and ledger.done(source, page, known[address]):
            done[address].append((source, page))
    return [
        {"address": file.address, "fingerprint": file.fingerprint, "done": json.dumps(done[file.address])}
        for file in files
        if file.is_container or not ledger.finished(file.address, file.fingerprint)
    ]


def _record(row: Rows, ledger: Ledger, tally: Tally, on_page: OnPage) -> None:
    """Write down one page, unless it is there: a task that was done again may bring it twice."""
    source, number, last, state, why, fingerprint = (row[key] for key in KEYS)
    if ledger.done(source, number, fingerprint):
        return
    result, state = json.loads(row["result"]), PageState(state)
    ledger.record(source, number, state, why, fingerprint, result, last)
    page = InputPage(Source(source), number, state, why, last=last, fingerprint=fingerprint)
    tally.add(page, result)
    on_page(page, state)


def _estimate(files: list[File], settings: BatchSettings, checkpoint: str, mode: str) -> CostEstimate:
    """What the whole archive will take, from a sample that is read as the job reads."""
    clock = Clock()
    with _crew(files, settings, checkpoint, mode) as crew:

        def read(sample: list[File], most: int) -> Iterator[Rows]:
            to_do = [{"address": file.address, "fingerprint": file.fingerprint, "done": "[]"} for file in sample]
            return crew.rows(to_do, most)

        return estimate(files, crew.count, read, crew.n, settings.price, settings.out, clock)


def _read_all(
    files: list[File], settings: BatchSettings, checkpoint: str, mode: str, ledger: Ledger, on_page: OnPage
) -> Tally:
    """Read what the ledger does not have."""
    tally, to_do = Tally(), _to_do(files, ledger)
    addresses = {one["address"] for one in to_do}
    if to_do:
        with _crew([file for file in files if file.address in addresses], settings, checkpoint, mode) as crew:
            tally.workers = crew.n
            for row in crew.rows(to_do, None):
                tally.clock.saw(row)
                _record(row, ledger, tally, on_page)
    return tally


def batch(files: list[File], settings: BatchSettings, checkpoint: str, mode: str, on_page: OnPage) -> int:
    """Read an archive, or estimate it from a sample; returns the exit code, as `nano-ocr read` does."""
    if not find_model(checkpoint).exists():
        raise UserError(f"{checkpoint}: no such checkpoint")
    if settings.estimate:
        print(_estimate(files, settings, checkpoint, mode))
        return 0
    texts = settings.texts_depend_on(checkpoint, mode, _job(settings).prompt)
    ledger = Ledger(settings.out / "ledger.jsonl", texts, settings.resume, settings.retry_failed)
    try:
        tally = _read_all(files, settings, checkpoint, mode, ledger, on_page)
        path, counts = write_results(ledger, settings.out, settings.format), ledger.counts()
    finally:
        ledger.close()
    print(f"{summary(counts)} in {path}\n{tally.report(settings)}", file=sys.stderr)
    if not any(counts[state] for state in READ):
        return 2
    return 1 if counts[PageState.FAILED] else 0
