"""Open the pages of an input ahead of the reader, a bounded number at a time.

Pages are opened in worker processes, because pdfium renders only one page at a time in each, and a file that crashes a
process then fails only its own page.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from PIL import Image

from nanochat.errors import UserError
from nanochat.reading.documents import Document, InputPage, open_document
from nanochat.reading.sources import EVERY_PAGE, Selection, Source
from nanochat.reading.state import PageState
from nanochat.reading.text_layer import load_page

IsDone = Callable[[Source, int, str], bool]  # source, number of its page, fingerprint of the source
PageKey = tuple[int, int, str]  # a page: index of its source, its number, and the fingerprint of the source


@dataclass(frozen=True)
class PageOptions:
    """How the pages of PDFs are opened."""

    dpi: int = 150
    """resolution at which they are rendered"""
    password: str = ""
    """password of encrypted PDFs"""
    layers: bool = False
    """include text layers, in `info[LAYER]` of the images"""


class _Opener:
    """Opens pages of an input, with one document open at a time."""

    def __init__(self, sources: Sequence[Source], options: PageOptions) -> None:
        self.sources, self.options = sources, options
        self.opened: tuple[int, str] | None = None
        self.document: Document | None = None

    def load(self, place: PageKey) -> Image.Image | str:
        """The image of a page, or the reason why there is none."""
        which, number, fingerprint = place
        source = self.sources[which]
        try:
            if self.opened != (which, fingerprint) or self.document is None:
                self.close()
                self.document = open_document(source, self.options.dpi, self.options.password)
                self.opened = which, fingerprint
                self._check(source, fingerprint)  # the file may have been replaced by one with fewer pages
            picture = load_page(self.document, number, layer=self.options.layers)
            self._check(source, fingerprint)
        except UserError as error:
            return str(error)
        return picture

    def _check(self, source: Source, fingerprint: str) -> None:
        if source.data is None and source.fingerprint() != fingerprint:
            raise UserError(f"{source.name}: changed while it was read")

    def close(self) -> None:
        if self.document is not None:
            self.document.close()
        self.document = self.opened = None


_opener: _Opener | None = None  # the opener of a worker process


def _begin(*arguments: Any) -> None:
    """Make this process a worker: it ignores Ctrl-C, ends with its parent, and prints nothing."""
    global _opener
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # their locks may have been held by a thread of the parent
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _opener = _Opener(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _load(place: PageKey) -> Image.Image | str:
    assert _opener is not None
    return _opener.load(place)


def _submit(pool: ProcessPoolExecutor, place: PageKey) -> "Future[Image.Image | str]":
    """Open a page in a process of the pool.

    Python 3.12 and later warn about forking a process with threads. Workers take no lock that a thread may have held.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        return pool.submit(_load, place)


class _OpenerPool:
    """Processes that open pages. Without processes, pages are opened in this process on request.

    On Linux they are forks, which start in milliseconds and share the data that the parent read from standard input.
    """

    def __init__(self, n: int, sources: Sequence[Source], options: PageOptions) -> None:
        self.n, self.arguments = n, (sources, options)
        self.here = _Opener(*self.arguments)
        self.pool: ProcessPoolExecutor | None = None

    def _start(self, n: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        return ProcessPoolExecutor(n, context, _begin, self.arguments)

    def submit(self, place: PageKey, here: bool) -> Callable[[], Image.Image | str]:
        """A function that returns the page, or the reason why there is none. `here`: open it in this process."""
        if here or not self.n:
            return lambda: self.here.load(place)
        self.pool = self.pool or self._start(self.n)
        try:
            future = _submit(self.pool, place)
        except BrokenProcessPool:
            self.pool = self._start(self.n)
            future = _submit(self.pool, place)
        return lambda: self._result(future, place)

    def _result(self, future: "Future[Image.Image | str]", place: PageKey) -> Image.Image | str:
        try:
            return future.result()
        except BrokenProcessPool:  # a process died, because of this page or another one
            try:
                with self._start(1) as alone:
                    return _submit(alone, place).result()
            except BrokenProcessPool:
                name = self.arguments[0][place[0]].name
                return f"{name}, page {place[1]}: the process that opened it died (too little memory, or a broken file)"

    def close(self) -> None:
        self.here.close()
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)


def read_ahead(
    sources: Sequence[Source],
    selection: Selection = EVERY_PAGE,
    options: PageOptions = PageOptions(),
    workers: int = 2,
    ahead: int = 8,
    done: IsDone = lambda source, number, fingerprint: False,
) -> Iterator[InputPage]:
    """Yield every page of every source in order, opened by `workers` processes, at most `ahead` pages in advance.

    With `workers` 0, or if there is only one page, this process opens them. Pages for which `done(source, number,
    fingerprint)` is true are not opened. A source that cannot be opened is one failed page. A page that is broken, that
    crashes its process, or whose file has changed since it was opened, is a failed page too.
    """
    waiting: deque[tuple[InputPage, Callable[[], Image.Image | str] | None]] = deque()
    with closing(_OpenerPool(workers, sources, options)) as pool:
        for which, source in enumerate(sources):
            for page in _of_source(source, selection, options, done):
                place = which, page.number, page.fingerprint
                alone = page.n_pages == 1 == len(sources)
                waiting.append((page, pool.submit(place, alone) if page.state == PageState.WAITING else None))
                if len(waiting) > ahead:
                    yield _arrived(*waiting.popleft())
        while waiting:
            yield _arrived(*waiting.popleft())


def _arrived(page: InputPage, result: Callable[[], Image.Image | str] | None) -> InputPage:
    found = result() if result is not None else None
    if isinstance(found, str):
        page.state, page.why = PageState.FAILED, found
    else:
        page.image = found
    return page


def _of_source(source: Source, selection: Selection, options: PageOptions, done: IsDone) -> Iterator[InputPage]:
    """The pages of a source, still without images."""
    try:
        fingerprint = source.fingerprint()
        document = open_document(source, options.dpi, options.password)
        document.close()
    except UserError as error:
        yield InputPage(source, 1, PageState.FAILED, str(error), last=True)
        return
    n_pages = document.n_pages
    if missing := selection.missing(n_pages):
        warnings.warn(f"{source.name}: {missing}", stacklevel=2)
    for number in range(1, n_pages + 1):
        page = InputPage(source, number, PageState.WAITING, "", None, number == n_pages, fingerprint, n_pages)
        page.why = "not among --pages" if number not in selection else document.skipped(number)
        if done(source, number, fingerprint):
            page.state = PageState.DONE
        elif page.why:
            page.state = PageState.SKIPPED
        yield page
