"""`nano-ocr batch`: reads an archive into a ledger, and writes the results from the ledger.

A large archive is read by processes of Ray (`cluster.py`), a small one in this process (`alone.py`). Both produce the
same rows. Only this process writes the ledger, one page at a time and each page once. Whichever process is killed, even
this one, the job can be resumed.
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
from nanochat.archives.worker import KEYS, Rows, Work
from nanochat.errors import UserError
from nanochat.reading.documents import InputPage
from nanochat.reading.job import summary
from nanochat.reading.ledger import Ledger
from nanochat.reading.ocr import find_model
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import PageState, exit_code

OnPage = Callable[[InputPage, PageState], None]


@dataclass
class Tally:
    """Counts of what a job has done."""

    clock: Clock = field(default_factory=Clock)
    """measures the time"""
    pages: int = 0
    """pages read or failed"""
    tokens: int = 0
    """tokens of the answers"""
    looped: int = 0
    """pages whose answer repeated itself"""
    workers: int = 1
    """processes with a model"""
    failures: Counter[str] = field(default_factory=Counter)
    """kind of error -> failed pages"""

    def add(self, page: InputPage, result: dict[str, Any] | None) -> None:
        """Count a page. `result`: what was read, as `Page.to_dict`; None if nothing was."""
        self.pages += page.state != PageState.SKIPPED
        if result is None:
            if page.state == PageState.FAILED:
                self.failures[_kind(page)] += 1
            return
        self.tokens += result["tokens"]
        self.looped += page.state in (PageState.LOOPED, PageState.REPAIRED)

    def report(self, settings: BatchSettings) -> str:
        """Pages per minute, failures by kind, repetitions, and the actual cost, next to the estimated one if any."""
        if not self.pages:
            return "nothing was left to read"
        hours = self.clock.seconds() / 3600
        lines = [f"{self.pages / hours / 60:.1f} pages per minute, {self.looped} loops stopped"]
        lines += [f"{n} failed: {kind}" for kind, n in self.failures.most_common()]
        expected = read_estimate(settings.out)
        if expected is not None:
            lines.append(f"expected: {expected}")
        lines.append(f"actual: {self.figures(hours, settings.price)}")
        return "\n".join(lines)

    def figures(self, hours: float, price: float) -> CostEstimate:
        """The actual cost in the format of an estimate. `hours`: duration; `price`: of one worker per hour."""
        return CostEstimate(self.pages, self.tokens, hours, self.workers, price, self.clock.starting() / 3600)


def _kind(page: InputPage) -> str:
    """The kind of error of a failed page: its message without names and numbers."""
    why = page.why.removeprefix(page.source.name).removeprefix(f", page {page.number}")
    return why.partition("(")[0].strip(" :")


@dataclass
class _Crew:
    """The processes that read: their number, and functions that read files and count pages with them."""

    n: int
    """number of models"""
    rows: Callable[[list[dict[str, str]], int | None], Iterator[Rows]]
    """(files to read, most pages of each) -> rows of the ledger as they arrive; see `Opening` and `Reader`"""
    count: Callable[[list[File]], int]
    """files -> number of pages"""


@contextmanager
def _crew(files: list[File], work: Work) -> Iterator[_Crew]:
    """This process for a small archive, otherwise processes of Ray. Raises UserError if Ray cannot be started."""
    settings, selection = work.settings, Selection(work.settings.pages)

    def count(some: list[File]) -> int:
        return sum(count_pages(file, selection, settings.dpi, settings.password) for file in some)

    if is_small(files, settings):
        print("only a few pages: reading them in this process; --model_workers N starts N workers", file=sys.stderr)
        yield _Crew(1, lambda some, most: rows_of_this_process(some, work, most), count)
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
            lambda some, most: rows_of_ray(some, work, workers, most),
            count_there,
        )


def _to_do(files: Sequence[File], ledger: Ledger) -> list[dict[str, str]]:
    """The files that have pages to read, as arguments of `Opening`.

    Each has `address`, `fingerprint` and `done`, a JSON list of the pages that the ledger has already.
    """
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
    """Write a page to the ledger, unless it is there already: if Ray repeats a task, pages can arrive twice."""
    source, number, last, state, why, fingerprint = (row[key] for key in KEYS)
    if ledger.done(source, number, fingerprint):
        return
    result, state = json.loads(row["result"]), PageState(state)
    ledger.record(source, number, state, why, fingerprint, result, last)
    page = InputPage(Source(source), number, state, why, last=last, fingerprint=fingerprint)
    tally.add(page, result)
    on_page(page, state)


def _estimate(files: list[File], work: Work) -> CostEstimate:
    """The cost of the whole archive, extrapolated from a sample that is read as the job would."""
    clock = Clock()
    with _crew(files, work) as crew:

        def read(sample: list[File], most: int) -> Iterator[Rows]:
            to_do = [{"address": file.address, "fingerprint": file.fingerprint, "done": "[]"} for file in sample]
            return crew.rows(to_do, most)

        return estimate(files, crew.count, read, crew.n, work.settings.price, work.settings.out, clock)


def _read_all(files: list[File], work: Work, ledger: Ledger, on_page: OnPage) -> Tally:
    """Read all pages that are not in the ledger."""
    tally, to_do = Tally(), _to_do(files, ledger)
    addresses = {one["address"] for one in to_do}
    if to_do:
        with _crew([file for file in files if file.address in addresses], work) as crew:
            tally.workers = crew.n
            for row in crew.rows(to_do, None):
                tally.clock.saw(row)
                _record(row, ledger, tally, on_page)
    return tally


def batch(files: list[File], settings: BatchSettings, checkpoint: str, mode: str, on_page: OnPage) -> int:
    """Read an archive, or estimate its cost from a sample. Returns the exit code, the same as `nano-ocr read`.

    `on_page` is called for each page. Raises UserError if the checkpoint is missing or a worker fails.
    """
    if not find_model(checkpoint).exists():
        raise UserError(f"{checkpoint}: no such checkpoint")
    work = Work(settings, checkpoint, mode)
    if settings.estimate:
        print(_estimate(files, work))
        return 0
    texts = settings.texts_depend_on(checkpoint, mode, work.job.prompt)
    ledger = Ledger(settings.out / "ledger.jsonl", texts, settings.resume, settings.retry_failed)
    try:
        tally = _read_all(files, work, ledger, on_page)
        path, counts = write_results(ledger, settings.out, settings.format), ledger.counts()
    finally:
        ledger.close()
    print(f"{summary(counts)} in {path}\n{tally.report(settings)}", file=sys.stderr)
    return exit_code(counts)
