"""Reading a whole input: pages ahead of the model, results into the ledger, files from the ledger.

A page that fails is written down, and the rest go on. What has been read stays read, whatever ends the run.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from nanochat.common import UserError, atomic_path
from nanochat.documents import InputPage, Selection, Source, open_document, read_ahead
from nanochat.formats import SUFFIX, Format, page_text, word_boxes, write
from nanochat.grounding import draw_boxes
from nanochat.ledger import READ, STATES, Ledger
from nanochat.ocr import OCR, Page

PAGES_TOGETHER = 8  # pictures in memory that are handed to the model at one time
REASONS = {
    "length": "the answer reached --max_tokens",
    "context": "the answer reached the end of the model's context",
    "time": "the answer took longer than --seconds",
    "loop": "the text repeated itself; what came before is kept",
}


@dataclass
class Job:
    """What is to be read, how, and where it goes."""

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
    overlay: bool = False
    """also draw the boxes of each page into a picture in `out`"""


@dataclass
class Totals:
    """What a run has done, beside the ledger's counts."""

    started: float = field(default_factory=time.monotonic)
    pages: int = 0
    vision_tokens: int = 0
    modes: Counter[str] = field(default_factory=Counter)

    def add(self, page: Page) -> None:
        self.pages, self.vision_tokens = self.pages + 1, self.vision_tokens + page.vision_tokens
        self.modes[page.mode] += 1

    def __str__(self) -> str:
        if not self.pages:
            return "nothing was read"
        minutes = (time.monotonic() - self.started) / 60
        modes = ", ".join(f"{n} {mode}" for mode, n in self.modes.most_common())
        return (
            f"{self.pages / max(minutes, 1e-9):.1f} pages a minute, "
            f"{self.vision_tokens / self.pages:.0f} vision tokens a page on average ({modes})"
        )


def file_names(sources: Sequence[Source]) -> dict[str, str]:
    """A name without suffix for each source's output: its own, longer or numbered where two would share one."""
    stems = Counter(Path(source.name).stem for source in sources)
    names: dict[str, str] = {}
    for source in sources:
        path = Path(source.name)
        name = path.stem if stems[path.stem] == 1 else path.name
        taken = set(names.values())
        numbered = (f"{name}-{i}" if i > 1 else name for i in range(1, len(sources) + 2))
        names[source.name] = next(n for n in numbered if n not in taken)
    return names


def read_input(
    make_reader: Callable[[], OCR], job: Job, ledger: Ledger, on_page: Callable[[InputPage, str], None] | None = None
) -> Totals:
    """Read every page of a job that the ledger does not have; write each source's file when its last page is there.

    `make_reader` is called when the first page needs a model; `on_page(page, state)` after each.
    """
    totals, names = Totals(), file_names(job.sources)
    for page, result in _results(make_reader, job, ledger):
        state: str = page.state
        why = page.why
        if result is not None:
            totals.add(result)
            state, why = result.status, _why(result)
        if state != "done":
            record = None if result is None else result.to_dict()
            ledger.record(page.source.name, page.number, state, why, page.fingerprint, record)
            _show(page, job, ledger, names)
        if on_page is not None:
            on_page(page, state)
        if page.last:
            _finish(page, job, ledger, names)
    return totals


def _why(page: Page) -> str:
    said = [REASONS.get(page.stopped, "")]
    if page.status == "repaired":
        said.append("it repeated itself once, and was read on without that")
    if page.ink == "missing":
        said.append("the page has more ink than the text accounts for")
    if page.ink == "invented":
        said.append("the text has more than the page's ink accounts for")
    return "; ".join(part for part in said if part)


def _results(make_reader: Callable[[], OCR], job: Job, ledger: Ledger) -> Iterator[tuple[InputPage, Page | None]]:
    """Every page in order, with what was read from it."""

    def done(source: Source, number: int, fingerprint: str) -> bool:
        return ledger.done(source.name, number, fingerprint)

    reader: OCR | None = None
    waiting: list[InputPage] = []
    pages = read_ahead(job.sources, job.selection, job.dpi, job.password, job.workers, PAGES_TOGETHER, done)
    for page in pages:
        waiting.append(page)
        pictures = sum(p.image is not None for p in waiting)
        if pictures < PAGES_TOGETHER and not (page.last and page.source is job.sources[-1]) and len(waiting) < 64:
            continue
        if pictures:
            reader = reader or make_reader()
        yield from _read_together(reader, waiting, job)
        waiting = []
    if any(p.image is not None for p in waiting):
        reader = reader or make_reader()
    yield from _read_together(reader, waiting, job)


def _read_together(reader: OCR | None, waiting: list[InputPage], job: Job) -> Iterator[tuple[InputPage, Page | None]]:
    images = [page.image for page in waiting if page.image is not None]
    results: Iterator[Page | None] = iter(_read(reader, images, waiting, job) if reader is not None else [])
    for page in waiting:
        result = next(results) if page.image is not None else None
        yield page, result
        page.image = None


def _read(reader: OCR, images: list[Image.Image], waiting: list[InputPage], job: Job) -> list[Page | None]:
    """What the model makes of each picture; where all together fail, each alone, so that one cannot spoil the rest."""
    try:
        return list(reader.read_many(images, job.prompt, job.max_tokens, job.seconds))
    except UserError as error:
        if len(images) == 1:
            (page,) = (p for p in waiting if p.image is not None)
            page.state, page.why = "failed", str(error)
            return [None]
    found: list[Page | None] = []
    for page in waiting:
        if page.image is not None:
            found += _read(reader, [page.image], [page], job)
    return found


def _loader(source: Source, job: Job) -> Callable[[int], Image.Image]:
    document = open_document(source, job.dpi, job.password)
    return document.load


def _show(page: InputPage, job: Job, ledger: Ledger, names: dict[str, str]) -> None:
    """What is due as soon as a page is there: its text on standard output, its overlay in the folder."""
    entry = ledger.entry(page.source.name, page.number)
    if job.out is None and job.format in ("txt", "md") and entry["result"] is not None:
        if len(job.sources) > 1 or page.number > 1 or not page.last:
            print(
                f"==> {page.source.name}"
                + (f", page {page.number} <==" if not page.last or page.number > 1 else " <==")
            )
        print(page_text(entry), flush=True)
    if job.overlay and job.out is not None and page.image is not None:
        with atomic_path(job.out / f"{names[page.source.name]}.page-{page.number:03d}.png") as temporary:
            draw_boxes(page.image, word_boxes(entry)).save(temporary, "PNG")


def _finish(page: InputPage, job: Job, ledger: Ledger, names: dict[str, str]) -> None:
    """The file of a source whose pages are all there; one that could not be opened has none."""
    source, entries = page.source, ledger.entries(page.source.name, page.number)
    if not any(entry["state"] in READ for entry in entries):
        return
    entries = ledger.entries(source.name, page.number)
    load = _loader(source, job) if job.format in ("html", "pdf") else lambda number: Image.new("RGB", (1, 1))
    if job.out is not None:
        suffix = SUFFIX.get(job.format, f".{job.format}")
        with atomic_path(job.out / (names[source.name] + suffix)) as temporary:
            write(temporary, job.format, source.name, entries, load)
    elif job.format not in ("txt", "md"):
        target = ledger.path.with_name("stdout")
        write(target, job.format, source.name, entries, load)
        sys.stdout.flush()
        with open(target, "rb") as file:
            while chunk := file.read(1 << 20):
                sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def summary(counts: Counter[str]) -> str:
    """`12 pages: 10 ok, 1 looped, 1 failed`."""
    n = sum(counts.values())
    return f"{n} page{'s' if n != 1 else ''}: " + ", ".join(f"{counts[s]} {s}" for s in STATES if counts[s])
