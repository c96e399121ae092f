"""What a person hands over to be read: pictures, PDFs, folders, patterns, standard input, data: URLs; page by page.

Pages are opened ahead of whoever reads them but never many, so that a file of 10,000 pages takes no more memory than
one of ten. Processes do it (`read_ahead`): pdfium draws one page at a time in each, and a file that brings one down
costs its page alone.
"""

import base64
import binascii
import glob
import importlib.util
import io
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

import pypdfium2 as pdfium
from PIL import Image

from nanochat.common import UserError
from nanochat.errors import PasswordNeeded
from nanochat.image_process import MAX_PIXELS, explain_broken, open_image

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".jp2", ".heic", ".heif"}
PDFIUM = threading.Lock()  # pdfium is not to be called by two threads at a time, not even for two documents
POINTS = 72  # of a PDF's page in an inch


@dataclass(frozen=True)
class Source:
    """One file, or what came instead of one."""

    name: str
    """as the person named it"""
    data: bytes | None = None
    """what it holds, if it is no file"""

    def fingerprint(self) -> str:
        """Changes when the file does. Raises UserError when it is gone."""
        if self.data is not None:
            return f"{len(self.data)}-{zlib.crc32(self.data)}"
        try:
            state = Path(self.name).stat()
        except OSError as error:
            raise UserError(f"{self.name}: cannot be opened ({error.strerror})") from error
        return f"{state.st_size}-{state.st_mtime_ns}"

    def stream(self) -> Any:
        """What Pillow and pdfium open."""
        return self.name if self.data is None else io.BytesIO(self.data)

    def is_pdf(self) -> bool:
        """By its first bytes, whatever it is called. Raises UserError when it has none, or cannot be opened."""
        try:
            with self.stream() if self.data is not None else open(self.name, "rb") as file:
                head = file.read(1024)
        except OSError as error:
            raise UserError(f"{self.name}: cannot be opened ({error.strerror})") from error
        if not head:
            raise UserError(f"{self.name}: an empty file")
        return b"%PDF-" in head


def _decode_data_url(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise UserError(f"{url[:40]}...: a data: URL needs a comma before its data")
    try:
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except binascii.Error as error:
        raise UserError(f"{head},...: not valid base64 ({error})") from error


def find_sources(arguments: Sequence[str], stdin: Callable[[], bytes] | None = None) -> list[Source]:
    """What the arguments of a command name, in order, a folder's files sorted.

    Raises UserError for a file that is not there, a folder or pattern without a picture or PDF, or nothing on stdin.
    """
    sources: list[Source] = []
    for n, argument in enumerate(arguments, 1):
        if argument == "-":
            data = (stdin or sys.stdin.buffer.read)()
            if not data:
                raise UserError("-: nothing came on standard input")
            sources.append(Source("stdin", data))
        elif argument.startswith("data:"):
            sources.append(Source(f"data-{n}", _decode_data_url(argument)))
        elif Path(argument).is_dir():
            found = sorted(p for p in Path(argument).rglob("*") if p.suffix.lower() in {*SUFFIXES, ".pdf"})
            if not found:
                raise UserError(f"{argument}: no picture and no PDF in this folder")
            sources += [Source(str(path)) for path in found]
        elif Path(argument).is_file():
            sources.append(Source(argument))
        else:
            matching = sorted(p for p in glob.glob(argument, recursive=True) if Path(p).is_file())
            if not matching:
                raise UserError(f"{argument}: no such file")
            sources += [Source(path) for path in matching]
    return list(dict.fromkeys(sources))


@dataclass(frozen=True)
class Selection:
    """Which pages are wanted: `1-3,7,9-`; all when empty. Raises UserError for anything else."""

    text: str = ""

    def __post_init__(self) -> None:
        self._ranges()

    def _ranges(self) -> list[tuple[int, float]]:
        ranges = []
        for part in self.text.split(",") if self.text else []:
            first, dash, last = (piece.strip() for piece in part.partition("-"))
            try:
                start = int(first)
                end = float("inf") if dash and not last else int(last or first)
            except ValueError as error:
                raise UserError(f"--pages {self.text}: give numbers and ranges such as 1-3,7") from error
            if start < 1 or end < start:
                raise UserError(f"--pages {self.text}: {part.strip()} is no range of pages (the first is 1)")
            ranges.append((start, end))
        return ranges

    def __contains__(self, number: int) -> bool:
        ranges = self._ranges()
        return not ranges or any(start <= number <= end for start, end in ranges)


class Pictures:
    """A file of one picture or of several: a TIFF's are pages, an animation's first alone is read."""

    def __init__(self, source: Source) -> None:
        self.source, self.lock = source, threading.Lock()
        _know_heic()
        with explain_broken(source.name):
            self.image = Image.open(source.stream())
            self.n_pages = int(getattr(self.image, "n_frames", 1))
        self.moves = self.image.format in ("GIF", "WEBP", "PNG") and self.n_pages > 1

    def skipped(self, number: int) -> str:
        """Why a page is not read; empty when it is."""
        return "an animation: only its first picture is read" if self.moves and number > 1 else ""

    def load(self, number: int) -> Image.Image:
        """Page `number`, from 1, as upright RGB. Raises UserError when it is broken or far too large."""
        with self.lock, explain_broken(self.source.name):
            self.image.seek(number - 1)
            return open_image(self.image, self.source.name)

    def close(self) -> None:
        self.image.close()


def _says_encrypted(source: Source) -> bool:
    """Whether a PDF says so itself: of one without a page, pdfium repeats what it last said of another."""
    with source.stream() if source.data is not None else open(source.name, "rb") as file:
        return b"/Encrypt" in file.read()


class PDF:
    """A PDF, its pages drawn at `dpi`."""

    def __init__(self, source: Source, dpi: int, password: str) -> None:
        self.source, self.scale = source, dpi / POINTS
        with PDFIUM:
            try:
                self.document = pdfium.PdfDocument(source.stream(), password=password or None)
                self.n_pages = len(self.document)
            except pdfium.PdfiumError as error:
                if "password" in str(error).lower() and _says_encrypted(source):
                    what = "the password is not right" if password else "it is encrypted: give its --password"
                    raise PasswordNeeded(f"{source.name}: {what}") from error
                raise UserError(f"{source.name}: broken, without a page, or no PDF ({error})") from error

    def skipped(self, number: int) -> str:
        """Why a page is not read; empty when it is."""
        return ""

    def load(self, number: int) -> Image.Image:
        """Page `number`, from 1, as RGB. Raises UserError when it is broken or would be far too large."""
        with PDFIUM:
            try:
                page = self.document[number - 1]
                width, height = page.get_size()
                if width * height * self.scale**2 > MAX_PIXELS:
                    large = f"{width * self.scale:.0f} x {height * self.scale:.0f} pixels"
                    raise UserError(f"{self.source.name}, page {number}: {large} is over the limit: lower --dpi")
                bitmap = page.render(scale=self.scale)
                picture = bitmap.to_pil().convert("RGB").copy()
                bitmap.close()
                page.close()
            except pdfium.PdfiumError as error:
                raise UserError(f"{self.source.name}, page {number}: broken ({error})") from error
        return picture

    def close(self) -> None:
        with PDFIUM:
            self.document.close()


Document = Pictures | PDF


def _know_heic() -> None:
    """Let Pillow open HEIC where the package pillow-heif is installed."""
    if importlib.util.find_spec("pillow_heif") is not None and ".heic" not in Image.registered_extensions():
        importlib.import_module("pillow_heif").register_heif_opener()


def open_document(source: Source, dpi: int = 150, password: str = "") -> Document:
    """Open a file of any kind. Raises UserError when it is missing, broken, locked or empty."""
    return PDF(source, dpi, password) if source.is_pdf() else Pictures(source)


@dataclass
class InputPage:
    """One page of an input, or why there is none."""

    source: Source
    number: int
    """from 1"""
    state: Literal["page", "failed", "skipped", "done"]
    why: str = ""
    """of a page that failed or is skipped"""
    image: Image.Image | None = None
    last: bool = False
    """whether it ends its source"""
    fingerprint: str = ""


Place = tuple[int, int, str]  # a page: which source, its number, and the source's fingerprint


class _Opener:
    """Opens pages of an input, with one document open at a time."""

    def __init__(self, sources: Sequence[Source], dpi: int, password: str) -> None:
        self.sources, self.dpi, self.password = sources, dpi, password
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

    def __init__(self, n: int, sources: Sequence[Source], dpi: int, password: str) -> None:
        self.n, self.arguments = n, (sources, dpi, password)
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
    selection: Selection = Selection(),
    dpi: int = 150,
    password: str = "",
    workers: int = 2,
    ahead: int = 8,
    done: Callable[[Source, int, str], bool] = lambda source, number, fingerprint: False,
) -> Iterator[InputPage]:
    """Every page of every source, in order, `workers` processes opening at most `ahead` of them in advance.

    With `workers` 0, or where there is one page in all, this process opens them. Pages for which `done(source, number,
    fingerprint)` holds are not opened. A source that cannot be opened is one failed page; a page that breaks, that
    brings its process down, or whose file has changed since it was opened, is a failed one too.
    """
    waiting: deque[tuple[InputPage, Callable[[], Image.Image | str] | None]] = deque()
    with closing(_Workers(workers, sources, dpi, password)) as pool:
        for which, source in enumerate(sources):
            for page, n_pages in _of_source(source, selection, dpi, password, done):
                place = which, page.number, page.fingerprint
                alone = n_pages == 1 == len(sources)
                waiting.append((page, pool.submit(place, alone) if page.state == "page" else None))
                if len(waiting) > ahead:
                    yield _arrived(*waiting.popleft())
        while waiting:
            yield _arrived(*waiting.popleft())


def _arrived(page: InputPage, result: Callable[[], Image.Image | str] | None) -> InputPage:
    found = result() if result is not None else None
    if isinstance(found, str):
        page.state, page.why = "failed", found
    else:
        page.image = found
    return page


def _of_source(
    source: Source, selection: Selection, dpi: int, password: str, done: Callable[[Source, int, str], bool]
) -> Iterator[tuple[InputPage, int]]:
    """Its pages, still without pictures, each with how many there are."""
    try:
        fingerprint = source.fingerprint()
        document = open_document(source, dpi, password)
        document.close()
    except UserError as error:
        yield InputPage(source, 1, "failed", str(error), last=True), 1
        return
    for number in range(1, document.n_pages + 1):
        page = InputPage(source, number, "page", last=number == document.n_pages, fingerprint=fingerprint)
        page.why = "not among --pages" if number not in selection else document.skipped(number)
        if done(source, number, fingerprint):
            page.state = "done"
        elif page.why:
            page.state = "skipped"
        yield page, document.n_pages
