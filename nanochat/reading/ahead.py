"""Pages of an input, opened ahead of whoever reads them, but never many: 10,000 take no more memory than ten.

Processes do it: pdfium draws one page at a time in each, and a file that brings one down costs its page alone.
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
from typing import Any

from PIL import Image

from nanochat.errors import UserError
from nanochat.reading.documents import PDF, Document, InputPage, open_document
from nanochat.reading.sources import EVERY_PAGE, Selection, Source
from nanochat.reading.state import PageState
from nanochat.reading.text_layer import LAYER, read_layer

Place = tuple[int, int, str]  # a page: which source, its number, and the source's fingerprint


class _Opener:
    """Opens pages of an input, with one document open at a time."""

    def __init__(self, sources: Sequence[Source], dpi: int, password: str, layers: bool) -> None:
        self.sources, self.dpi, self.password, self.layers = sources, dpi, password, layers
        self.opened: tuple[int, str] | None = None
        self.document: Document | None = None

    def load(self, place: Place) -> Image.Image | str:
        """The picture of a page, or why there is none."""
        which, number, fingerprint = place
        source = self.sources[which]
        try:
            if self.opened != (which, fingerprint) or self.document is None:
                self.close()
                self.document, self.opened = open_document(source, self.dpi, self.password), (which, fingerprint)
                self._check(source, fingerprint)  # of another file now, which may have fewer pages
            picture = self.document.load(number)
            if self.layers and isinstance(self.document, PDF):
                picture.info[LAYER] = read_layer(self.document, number, picture.info["dpi"][0])
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


_opener: _Opener | None = None  # in a worker process, its own


def _begin(*arguments: Any) -> None:
    """Make this process a worker: Ctrl-C is its parent's affair, it ends with its parent, and it prints nothing."""
    global _opener
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # a thread of the parent may have held theirs when this one began
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _opener = _Opener(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _load(place: Place) -> Image.Image | str:
    assert _opener is not None
    return _opener.load(place)


class _Workers:
    """Processes that open pages; where there are none, pages are opened here, each when it is asked for.

    On Linux they are forks, which start in milliseconds and share what the parent has read from standard input.
    """

    def __init__(self, n: int, sources: Sequence[Source], dpi: int, password: str, layers: bool) -> None:
        self.n, self.arguments = n, (sources, dpi, password, layers)
        self.here = _Opener(*self.arguments)
        self.pool: ProcessPoolExecutor | None = None

    def _start(self, n: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        return ProcessPoolExecutor(n, context, _begin, self.arguments)

    def submit(self, place: Place, here: bool) -> Callable[[], Image.Image | str]:
        """What gives the page, or why there is none, when it is called; `here`: open it in this process."""
        if here or not self.n:
            return lambda: self.here.load(place)
        self.pool = self.pool or self._start(self.n)
        try:
            future = self.pool.submit(_load, place)
        except BrokenProcessPool:
            self.pool = self._start(self.n)
            future = self.pool.submit(_load, place)
        return lambda: self._result(future, place)

    def _result(self, future: "Future[Image.Image | str]", place: Place) -> Image.Image | str:
        try:
            return future.result()
        except BrokenProcessPool:  # a process died, of this page or of one beside it
            try:
                with self._start(1) as alone:
                    return alone.submit(_load, place).result()
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
    dpi: int = 150,
    password: str = "",
    workers: int = 2,
    ahead: int = 8,
    done: Callable[[Source, int, str], bool] = lambda source, number, fingerprint: False,
    layers: bool = False,
) -> Iterator[InputPage]:
    """Every page of every source, in order, `workers` processes opening at most `ahead` of them in advance.

    With `workers` 0, or where there is one page in all, this process opens them. Pages for which `done(source,
    number, fingerprint)` holds are not opened. `layers`: give the picture of a PDF's page the page's own text, in
    `info[LAYER]`. A source that cannot be opened is one failed page; a page that breaks, that brings its process
    down, or whose file has changed since it was opened, is a failed one too.
    """
    waiting: deque[tuple[InputPage, Callable[[], Image.Image | str] | None]] = deque()
    with closing(_Workers(workers, sources, dpi, password, layers)) as pool:
        for which, source in enumerate(sources):
            for page in _of_source(source, selection, dpi, password, done):
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


def _of_source(
    source: Source, selection: Selection, dpi: int, password: str, done: Callable[[Source, int, str], bool]
) -> Iterator[InputPage]:
    """Its pages, still without pictures."""
    try:
        fingerprint = source.fingerprint()
        document = open_document(source, dpi, password)
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
