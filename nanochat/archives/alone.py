"""Reading a small archive in this process, which is faster than starting Ray and loading a model in each process."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from nanochat.archives.files import File
from nanochat.archives.pages import count_pages
from nanochat.archives.settings import BatchSettings
from nanochat.archives.worker import Reader, Rows, Work
from nanochat.errors import UserError
from nanochat.reading.job import PAGES_TOGETHER
from nanochat.reading.sources import Selection
from nanochat.threads import usable_cores

RAY_SECONDS = 40.0  # start-up time of Ray and the models of its processes
PAGE_SECONDS = 1.0  # time to read a page on one core
CONTAINER_BYTES = 50_000_000  # size up to which a tar or parquet file is opened to count its pages
MANY = 1000  # pages from which processes are always used, because one that dies does not end the job


def is_small(files: Sequence[File], settings: BatchSettings) -> bool:
    """Whether reading in this process is expected to be faster than with Ray.

    False if the settings ask for processes (a cluster, a number of workers, GPUs), and if a file is remote or a large
    container, since counting its pages would take long.
    """
    if settings.address or settings.model_workers is not None or settings.gpus is not None:
        return False
    most = pages_that_pay(int(usable_cores()) - 1)
    if len(files) >= most or any(not file.is_local or _is_large(file) for file in files):
        return False
    pages, selection = 0, Selection(settings.pages)
    for file in files:
        pages += count_pages(file, selection, settings.dpi, settings.password, most)
        if pages >= most:
            return False
    return True


def _is_large(file: File) -> bool:
    """Whether a local file is a large container. One that is gone is not: opening it reports that."""
    path = Path(file.address)
    return file.is_container and path.is_file() and path.stat().st_size > CONTAINER_BYTES


def pages_that_pay(workers: int) -> float:
    """The number of pages above which that many worker processes are faster, including the time to start them."""
    saved = 1 - 1 / max(1, workers)  # share of the reading time
    return min(MANY, RAY_SECONDS / PAGE_SECONDS / saved) if saved else MANY


def rows_of_this_process(files: list[dict[str, str]], work: Work, most: int | None) -> Iterator[Rows]:
    """Yield the rows that Ray's processes would produce, in order.

    `most`: read at most this many pages of each file; None: all. `spent` of a row includes opening the page, since no
    other process does that. Raises UserError if the model cannot be loaded.
    """
    opening, reader = work.opening(most), Reader(*work.reader_arguments(device=""))
    if reader.broken:
        raise UserError(reader.broken)
    waiting: list[Rows] = []
    started = time.perf_counter()
    for file in files:
        for page in opening({name: [value] for name, value in file.items()}):
            waiting.append(page)
            if len(waiting) == PAGES_TOGETHER:
                yield from _read(reader, waiting, started)
                waiting, started = [], time.perf_counter()
    if waiting:
        yield from _read(reader, waiting, started)


def _read(reader: Reader, pages: list[Rows], started: float) -> Iterator[Rows]:
    found = reader({name: [page[name][0] for page in pages] for name in pages[0]})
    spent = (time.perf_counter() - started) / len(pages)
    for i in range(len(found["state"])):
        yield {**{name: values[i] for name, values in found.items()}, "spent": spent}
