"""Reading a whole input: pages ahead of the model, results into the ledger, files from the ledger.

A page that fails is recorded, and the others are read. However a run ends, the pages read so far are kept.
"""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

from PIL import Image

from nanochat.errors import UserError
from nanochat.files import atomic_path
from nanochat.reading.ahead import PageOptions, read_ahead
from nanochat.reading.answer import Ask
from nanochat.reading.apart import read_apart
from nanochat.reading.documents import Document, InputPage, open_document
from nanochat.reading.formats import SUFFIX, LoadPage, page_text, write
from nanochat.reading.grounding import draw_boxes
from nanochat.reading.layer_check import read_with_layers
from nanochat.reading.ledger import Ledger
from nanochat.reading.markdown import page_markdown
from nanochat.reading.ocr import OCR
from nanochat.reading.options import Format, TextLayerMode
from nanochat.reading.page import Page
from nanochat.reading.placed_text import boxes_to_draw
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import READ, STATES, PageState

PAGES_TOGETHER = 8  # most images that are passed to the model at a time
PIXELS_TOGETHER = 8_000_000  # pixels of images in memory from which no further image is waited for
LEFT_OUT = " too unclear to read, left out"
UNREADABLE = "probably not readable: other letters than the model knows, or no print; the text may be invented"
REASONS = {
    "length": "the answer reached --max_tokens",
    "context": "the answer reached the end of the model's context",
    "time": "the answer took longer than --seconds",
    "loop": "the text repeated itself; what came before is kept",
}


@dataclass
class Job:
    """The inputs, how they are read, and where the output goes."""

    sources: Sequence[Source]
    prompt: str
    selection: Selection = field(default_factory=Selection)
    dpi: int = 150
    password: str = ""
    workers: int = 2
    max_tokens: int | None = None
    seconds: float | None = None
    format: Format = "txt"
    out: Path | None = None
    """folder for one file per input; None: standard output"""
    text_layer: TextLayerMode = "auto"
    """whether the text layer of a PDF page is used instead of reading its image"""
    overlay: bool = False
    """also write an image of each page with its boxes to `out`"""

    @property
    def takes_layers(self) -> bool:
        """Whether text layers of PDF pages may be used; never for a question about the page."""
        return self.text_layer != "never" and Ask(self.prompt).is_for_text


@dataclass
class Totals:
    """Counts of a run."""

    started: float = field(default_factory=time.monotonic)
    states: Counter[PageState] = field(default_factory=Counter)
    """number of pages by final state, in this run and in the one that it resumes"""
    pages: int = 0
    """number of pages read in this run"""
    vision_tokens: int = 0
    most_vision_tokens: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    doubtful: int = 0
    """number of pages whose text does not match the ink"""

    def add(self, page: Page) -> None:
        self.pages, self.vision_tokens = self.pages + 1, self.vision_tokens + page.vision_tokens
        self.most_vision_tokens += page.most_vision_tokens
        self.modes[page.mode] += 1
        self.doubtful += page.ink != "ok"

    def __str__(self) -> str:
        if not self.pages:
            return f"{summary(self.states)}; nothing was read now"
        minutes = (time.monotonic() - self.started) / 60
        modes = ", ".join(f"{n} in mode {mode}" if len(self.modes) > 1 else f"mode {mode}"
                          for mode, n in self.modes.most_common())  # fmt: skip
        said = [
            summary(self.states),
            f"{self.pages / max(minutes, 1e-9):.1f} pages a minute",
            f"{self.vision_tokens / self.pages:.0f} vision tokens a page ({modes})",
        ]
        if self.vision_tokens != self.most_vision_tokens:
            saved = 1 - self.vision_tokens / self.most_vision_tokens
            all_in_last = f"the {self.most_vision_tokens / self.pages:.0f} that auto's last mode takes for all"
            said.append(f"{saved:.0%} fewer than {all_in_last}" if saved > 0 else f"none saved of {all_in_last}")
        if self.doubtful:
            said.append(f"the text of {self.doubtful} does not match the ink")
        return "; ".join(said)


def file_names(sources: Sequence[Source]) -> dict[str, str]:
    """Output name of each source: its name without suffix; with suffix, folders or a number if two are the same."""
    longer = {source.name: _longer_names(Path(source.name)) for source in sources}
    shared = Counter(name for names in longer.values() for name in set(names))
    found: dict[str, str] = {}
    taken: set[str] = set()
    for source, names in longer.items():
        own = [name for name in names if shared[name] == 1]
        numbered = (f"{names[-1]}-{i}" for i in count(1))
        found[source] = next(name for name in chain(own, numbered) if name not in taken)
        taken.add(found[source])
    return found


def _longer_names(path: Path) -> list[str]:
    """Possible names of scans/page.png: `page`, `page.png`, `scans-page.png`, and so on up to the whole path."""
    folders = [part for part in path.parts[:-1] if part not in (path.anchor, "..")]
    return [path.stem, *("-".join([*folders[len(folders) - n :], path.name]) for n in range(len(folders) + 1))]


def read_input(
    make_reader: Callable[[], OCR],
    job: Job,
    ledger: Ledger,
    on_page: Callable[[InputPage, PageState], None] | None = None,
) -> Totals:
    """Read every page of a job that is not in the ledger; write the file of a source when its last page is done.

    `make_reader`: called when the first page needs a model. `on_page(page, state)`: called after each page, with the
    reason in `page.why`.
    """
    totals, names = Totals(), file_names(job.sources)
    if job.out is not None:
        _check_free(job, names, {source for source, _, _ in ledger.pages()})
    unfinished: InputPage | None = None
    try:
        for page, result in _results(make_reader, job, ledger):
            if result is not None:
                totals.add(result)
            if page.state != PageState.DONE:
                record = None if result is None else result.to_dict()
                if record is not None and page.image is not None and job.overlay:
                    path = _overlay_path(job, names[page.source.name], page.number)
                    _draw_overlay(path, page.image, {"result": record})
                ledger.record(page.source.name, page.number, page.state, page.why, page.fingerprint, record, page.last)
                _print_text(page, job, ledger)
            totals.states[ledger.state(page.source.name, page.number)] += 1
            if on_page is not None:
                on_page(page, page.state)
            if page.last:
                _write_file(page, job, ledger, names)
            unfinished = None if page.last else page
    except KeyboardInterrupt:
        if unfinished is not None:
            _write_file(unfinished, job, ledger, names)
        raise
    return totals


def output_path(job: Job, name: str) -> Path:
    """The output file of the source called `name`."""
    assert job.out is not None
    return job.out / (name + SUFFIX.get(job.format, f".{job.format}"))


def _check_free(job: Job, names: dict[str, str], known: set[str]) -> None:
    """Refuse to overwrite files that no earlier run wrote for the same source. `known`: sources of the earlier run."""
    for source, name in names.items():
        if source not in known and output_path(job, name).exists():
            raise UserError(f"{output_path(job, name)} already exists and is not from {source}: choose another --out")


def why_it_ended(page: Page) -> str:
    """Remarks about a page; empty if there are none."""
    said = [REASONS.get(page.stopped, "" if page.text.strip() or page.unclear else "no text was found"), *page.notes]
    if not page.readable:
        said.append(UNREADABLE)
    if page.turned:
        said.append(f"it was read turned by {page.turned} degrees clockwise")
    if page.status == PageState.REPAIRED:
        said.append("it repeated itself once, and was continued without the repetition")
    if page.unclear:
        said.append(("one piece of a line" if page.unclear == 1 else f"{page.unclear} pieces of lines") + LEFT_OUT)
    if page.ink == "missing":
        said.append("the page has more ink than the text accounts for")
    if page.ink == "invented":
        said.append("the text has more than the page's ink accounts for")
    return "; ".join(part for part in said if part)


def _results(make_reader: Callable[[], OCR], job: Job, ledger: Ledger) -> Iterator[tuple[InputPage, Page | None]]:
    """Every page in order, with the result of reading it."""

    def done(source: Source, number: int, fingerprint: str) -> bool:
        return ledger.done(source.name, number, fingerprint)

    reader: OCR | None = None
    waiting: list[InputPage] = []
    options = PageOptions(job.dpi, job.password, job.takes_layers)
    pages = read_ahead(job.sources, job.selection, options, job.workers, 2 * job.workers, done)
    for page in pages:
        waiting.append(page)
        sizes = [p.image.width * p.image.height for p in waiting if p.image is not None]
        pictures = len(sizes)
        if pictures < PAGES_TOGETHER and sum(sizes) < PIXELS_TOGETHER and len(waiting) < 64:
            continue
        if pictures:
            reader = reader or make_reader()
        yield from read_together(reader, waiting, job)
        waiting = []
    if any(p.image is not None for p in waiting):
        reader = reader or make_reader()
    yield from read_together(reader, waiting, job)


def read_together(reader: OCR | None, waiting: list[InputPage], job: Job) -> Iterator[tuple[InputPage, Page | None]]:
    """Each page with its result, and how it ended in `state` and `why`; its image is released.

    A page that cannot be read becomes a failed page.
    """
    images = [page.image for page in waiting if page.image is not None]
    results: Iterator[Page | None] = iter(_read(reader, images, waiting, job) if reader is not None else [])
    for page in waiting:
        result = next(results) if page.image is not None else None
        if result is not None:
            page.state, page.why = result.status, why_it_ended(result)
        yield page, result
        page.image = None


def _read(reader: OCR, images: list[Image.Image], waiting: list[InputPage], job: Job) -> list[Page | None]:
    """The result for each image; None if it failed, with the reason in `waiting`."""
    pages = [page for page in waiting if page.image is not None]
    results = read_with_layers(
        reader, images, job.text_layer,
        lambda wanted: read_apart(
            lambda some: reader.read_many(some, job.prompt, job.max_tokens, job.seconds), wanted
        ),
    )  # fmt: skip
    found: list[Page | None] = []
    for page, result in zip(pages, results, strict=True):
        if isinstance(result, Exception):
            page.state, page.why = PageState.FAILED, f"{page.source.name}, page {page.number}: {_what_happened(result)}"
        found.append(None if isinstance(result, Exception) else result)
    return found


def _what_happened(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if type(error).__name__ == "OutOfMemoryError":
        return "out of memory on the GPU: lower --batch_size"
    return f"{type(error).__name__}: {error}"


def _print_text(page: InputPage, job: Job, ledger: Ledger) -> None:
    """Print the text of a page to standard output as soon as it is read."""
    entry = ledger.entry(page.source.name, page.number)
    if job.out is not None or job.format not in ("txt", "md") or entry["result"] is None:
        return
    numbered = f", page {page.number}" if page.n_pages > 1 else ""
    if numbered or len(job.sources) > 1:
        print(("<!-- {} -->\n" if job.format == "md" else "==> {} <==").format(page.source.name + numbered))
    print(page_markdown(entry["result"]) if job.format == "md" else page_text(entry), flush=True)


def _overlay_path(job: Job, name: str, number: int) -> Path:
    assert job.out is not None
    return job.out / f"{name}.page-{number:03d}.png"


def _draw_overlay(path: Path, picture: Image.Image, entry: dict) -> None:
    with atomic_path(path) as temporary:
        draw_boxes(picture, boxes_to_draw(entry)).save(temporary, "PNG")


def _draw_missing_overlays(page: InputPage, job: Job, ledger: Ledger, name: str, load: LoadPage) -> None:
    """Write overlays of pages that an earlier run read without them; none for a page that no longer exists."""
    for entry in ledger.entries(page.source.name, page.number):
        path = _overlay_path(job, name, entry["page"])
        if entry["result"] is not None and not path.exists():
            with suppress(UserError):
                _draw_overlay(path, load(entry["page"]), entry)


def _write_file(page: InputPage, job: Job, ledger: Ledger, names: dict[str, str]) -> None:
    """Write the file of a source up to `page`, its last unless interrupted; no file if nothing was read."""
    source = page.source
    if not any(entry["state"] in READ for entry in ledger.entries(source.name, page.number)):
        return
    with closing(_Pictures(source, job)) as pictures:
        entries = ledger.entries(source.name, page.number)
        if job.overlay:
            _draw_missing_overlays(page, job, ledger, names[source.name], pictures.load)
        if job.out is not None:
            with atomic_path(output_path(job, names[source.name])) as temporary:
                write(temporary, job.format, source.name, entries, pictures.load, job.dpi)
        elif job.format not in ("txt", "md"):
            target = ledger.path.with_name("stdout")
            write(target, job.format, source.name, entries, pictures.load, job.dpi)
            sys.stdout.flush()
            with open(target, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


class _Pictures:
    """The pages of a source again, opened when the first is requested."""

    def __init__(self, source: Source, job: Job) -> None:
        self.source, self.job = source, job
        self.document: Document | None = None

    def load(self, number: int) -> Image.Image:
        """Page `number`. Raises UserError if it no longer exists."""
        self.document = self.document or open_document(self.source, self.job.dpi, self.job.password)
        return self.document.load(number)

    def close(self) -> None:
        if self.document is not None:
            self.document.close()


def summary(counts: Counter[PageState]) -> str:
    """The counts as text: `12 pages: 10 ok, 1 looped, 1 failed`; without pages, `0 pages`."""
    n = sum(counts.values())
    states = ", ".join(f"{counts[s]} {s}" for s in STATES if counts[s])
    return f"{n} page{'s' if n != 1 else ''}" + (f": {states}" if states else "")
