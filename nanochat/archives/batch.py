"""`nano-ocr batch`: an archive through Ray Data, from files to the ledger, and from the ledger to the results.

Ray's tasks open pages, its actors read them with a model, each a process; what waits between them is bounded, and
what a process that dies had in hand is done again by another. This process alone writes the ledger, a page at a time
and each page once, so whatever is killed, this process too, the job goes on from there.
"""

import json
import logging
import os
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nanochat.archives.estimate import Figures, estimate, read_estimate
from nanochat.archives.files import INSIDE, File, count_pages, find_files
from nanochat.archives.results import write_results
from nanochat.archives.settings import BatchSettings
from nanochat.archives.worker import BROKEN, KEYS, Opening, Reader, Rows
from nanochat.errors import UserError
from nanochat.prompts import prompt_for
from nanochat.reading.documents import InputPage
from nanochat.reading.job import PAGES_TOGETHER, Job, summary
from nanochat.reading.ledger import READ, Ledger
from nanochat.reading.ocr import find_model
from nanochat.reading.sources import Selection, Source

TASKS = 2000  # most tasks that open pages; one that dies is begun anew, so that none should be long
CONNECT_SECONDS = 10.0  # to reach a cluster
BLOCK_BYTES = 32 * 2**20  # of opened pages that are handed on together
OnPage = Callable[[InputPage, str], None]


@dataclass
class Workers:
    """What the processes are, once the machines are known."""

    n: int
    device: str
    cpus: float
    gpus: float
    """of each model worker"""
    opening_cpus: float
    """of each task that opens pages"""


@dataclass
class Tally:
    """What a job has done."""

    started: float = field(default_factory=time.monotonic)
    pages: int = 0
    tokens: int = 0
    looped: int = 0
    workers: int = 1
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, page: InputPage, result: dict[str, Any] | None) -> None:
        self.pages += page.state != "skipped"
        if result is None:
            if page.state == "failed":
                self.failures[_kind(page)] += 1
            return
        self.tokens += result["tokens"]
        self.looped += page.state in ("looped", "repaired")

    def report(self, settings: BatchSettings) -> str:
        """Pages a minute, failures by kind, loops caught, and what it took beside what was expected."""
        if not self.pages:
            return "nothing was left to read"
        hours = (time.monotonic() - self.started) / 3600
        lines = [f"{self.pages / hours / 60:.1f} pages a minute, {self.looped} loops caught"]
        lines += [f"{n} failed: {kind}" for kind, n in self.failures.most_common()]
        expected = read_estimate(settings.out)
        if expected is not None:
            lines.append(f"expected: {expected}")
        lines.append(f"it was: {Figures(self.pages, self.tokens, hours, self.workers, settings.price)}")
        return "\n".join(lines)


def _kind(page: InputPage) -> str:
    """What a page failed of, without its name and numbers."""
    why = page.why.removeprefix(page.source.name).removeprefix(f", page {page.number}")
    return why.partition("(")[0].strip(" :")


def _check_answers(address: str) -> None:
    """Raise UserError unless something listens at HOST:PORT: Ray itself tries for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return  # `auto` or nothing, which Ray knows at once
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster at {address} ({error})") from error


@contextmanager
def _ray(address: str) -> Iterator[None]:
    """Ray, on this machine or a cluster; quiet. Raises UserError when it is not installed or not there."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent anywhere
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # workers take this environment as it is
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # the rest is in Ray's own logs
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError("archives need Ray: uv sync --extra archives, or pip install 'ray[data]'") from error
    _check_answers(address)
    options: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # also plain ones, where a machine is too busy for Ray to start in time
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        if not address:
            raise UserError(f"Ray does not start on this machine ({reason})") from error
        hint = "where it asks for a token, set RAY_AUTH_MODE=token"
        raise UserError(f"no Ray cluster at {address} ({reason}); {hint}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK_BYTES
    try:
        yield
    finally:
        ray.shutdown()


def _workers(settings: BatchSettings) -> Workers:
    """How many model workers of what kind: what was asked for, else what the machines have."""
    import ray

    there = ray.cluster_resources()
    gpus = settings.gpus if settings.gpus is not None else float(there.get("GPU", 0) > 0)
    if gpus > there.get("GPU", 0):
        raise UserError(f"--gpus {gpus:g}: there are {there.get('GPU', 0):g}")
    cores = there["CPU"]
    n = settings.model_workers or max(1, int(there["GPU"] / gpus if gpus else cores - 1))
    opening = min(0.99, 0.4 * cores)  # less than models take: Ray makes one stage of two that ask for the same
    cpus = min(1.0, (cores - opening) / n)
    return Workers(n, "cuda" if gpus else "cpu", cpus, gpus, opening)


def _job(settings: BatchSettings) -> Job:
    prompt = settings.prompt.replace("\\n", "\n") or prompt_for(settings.task)
    return Job([], prompt, max_tokens=settings.max_tokens, seconds=settings.seconds)


def _rows(
    files: list[dict[str, str]], settings: BatchSettings, checkpoint: str, mode: str, workers: Workers, most: int | None
) -> Iterator[Rows]:
    """Rows of the ledger, as they are ready. Raises UserError when Ray gives up."""
    import ray

    opening = Opening(Selection(settings.pages), settings.dpi, settings.password, most)
    data = ray.data.from_items(files, override_num_blocks=min(len(files), TASKS))
    pages = data.map_batches(opening, batch_size=1, num_cpus=workers.opening_cpus)
    read = pages.map_batches(
        Reader,
        fn_constructor_args=(checkpoint, workers.device, mode, settings.max_vision_tokens, _job(settings)),
        batch_size=PAGES_TOGETHER,
        compute=ray.data.ActorPoolStrategy(size=workers.n),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )
    try:
        for row in read.iter_rows():
            if row["state"] == BROKEN:
                raise UserError(f"the workers failed: {row['why']}")
            yield row
    except ray.exceptions.RayError as error:
        raise UserError(f"the workers failed: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """The last line of the first error that says something, which Ray wraps in its own with the whole way to it."""
    lines: list[str] = []
    wrapped: BaseException | None = error
    while wrapped is not None:
        lines = [line.strip() for line in str(wrapped).splitlines() if line.strip()] or lines
        wrapped = wrapped.__cause__
    return lines[-1] if lines else type(error).__name__


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
    result = json.loads(row["result"])
    ledger.record(source, number, state, why, fingerprint, result, last)
    page = InputPage(Source(source), number, state, why, last=last, fingerprint=fingerprint)
    tally.add(page, result)
    on_page(page, state)


def _texts(settings: BatchSettings, checkpoint: str, mode: str, job: Job) -> dict[str, Any]:
    """What the texts depend on: a job goes on only with the same."""
    names = ("max_vision_tokens", "pages", "dpi", "max_tokens", "seconds")
    own = {name: getattr(settings, name) for name in names}
    return {"checkpoint": checkpoint, "mode": mode, "prompt": job.prompt, **own}


def _estimate(files: list[File], settings: BatchSettings, checkpoint: str, mode: str) -> Figures:
    """What the whole archive will take, from a sample that the same workers read."""
    import ray

    workers = _workers(settings)
    counting = ray.remote(num_cpus=workers.opening_cpus)(count_pages)

    def count(sample: list[File]) -> int:
        selection = Selection(settings.pages)
        return sum(ray.get([counting.remote(file, selection, settings.dpi, settings.password) for file in sample]))

    def read(sample: list[File], most: int) -> Iterator[Any]:
        rows = [{"address": file.address, "fingerprint": file.fingerprint, "done": "[]"} for file in sample]
        return (json.loads(row["result"]) for row in _rows(rows, settings, checkpoint, mode, workers, most))

    return estimate(files, count, read, workers.n, settings.price, settings.out)


def _read_all(
    files: list[File], settings: BatchSettings, checkpoint: str, mode: str, ledger: Ledger, on_page: OnPage
) -> Tally:
    """Read what the ledger does not have."""
    tally, to_do = Tally(), _to_do(files, ledger)
    if to_do:
        with _ray(settings.address):
            workers = _workers(settings)
            tally.workers = workers.n
            for row in _rows(to_do, settings, checkpoint, mode, workers, None):
                _record(row, ledger, tally, on_page)
    return tally


def batch(addresses: Sequence[str], settings: BatchSettings, checkpoint: str, mode: str, on_page: OnPage) -> int:
    """Read an archive, or estimate it from a sample; returns the exit code, as `nano-ocr read` does."""
    if not addresses:
        raise UserError("nothing to read: nano-ocr batch SOURCE... --out DEST")
    job, _ = _job(settings), Selection(settings.pages)  # what is wrong with them is said before anything starts
    if not find_model(checkpoint).exists():
        raise UserError(f"{checkpoint}: no such checkpoint")
    files = find_files(addresses)
    if settings.estimate:
        with _ray(settings.address):
            print(_estimate(files, settings, checkpoint, mode))
        return 0
    texts = _texts(settings, checkpoint, mode, job)
    ledger = Ledger(settings.out / "ledger.jsonl", texts, settings.resume, settings.retry_failed)
    try:
        tally = _read_all(files, settings, checkpoint, mode, ledger, on_page)
        path, counts = write_results(ledger, settings.out, settings.format), ledger.counts()
    finally:
        ledger.close()
    print(f"{summary(counts)} in {path}\n{tally.report(settings)}", file=sys.stderr)
    if not any(counts[state] for state in READ):
        return 2
    return 1 if counts["failed"] else 0
