"""Evaluation on a set: error rates of our model and of other OCR systems on the same images, by tier.

The results are available as a table and as JSON.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from nanochat.evaluation.compression import Bin, compression_curve
from nanochat.evaluation.losses import Reading, Summary, read_documents, summarise
from nanochat.evaluation.peers import Peer
from nanochat.evaluation.scores import Estimate, PageScore, by_tier, score_page, summarise_pages
from nanochat.image_process import to_rgb
from nanochat.reading.ocr import OCR
from nanochat.reading.page import Page
from nanochat.reading.state import PageState
from nanochat.tasks.eval_set import EvalSet

OURS = "nano-ocr"
Progress = Callable[[str, int, int], None]  # (reader, pictures read, pictures)


@dataclass(frozen=True)
class ModeReading:
    """The result for one image in one mode."""

    score: PageScore
    vision_tokens: int
    """vision tokens of all its views"""
    text_tokens: int
    """tokens of the expected text"""

    @property
    def compression(self) -> float:
        """Text tokens per vision token."""
        return self.text_tokens / self.vision_tokens


@dataclass
class Measured:
    """The results on one evaluation set."""

    readings: list[Reading]
    """losses of each expected text, with the image shown in one view as in training"""
    pages: dict[str, list[PageScore]]
    """reader -> score of each image, in the order of the set; our reader comes first"""
    summary: Summary
    """means of the losses, image gain and similarity of image features"""
    vision_tokens: list[int]
    """vision tokens of each image in our first mode"""
    curve: list[Bin]
    """the compression curve of our first mode"""

    @cached_property
    def figures(self) -> dict[str, dict[str, dict[str, Estimate | None]]]:
        """reader -> tier -> name of a figure -> figure, with the names of `scores.summarise_pages`."""
        return {
            reader: {tier: summarise_pages(found) for tier, found in by_tier(pages).items()}
            for reader, pages in self.pages.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """All results except images, for JSON."""
        figures = {
            reader: {
                tier: {"pictures": len(by_tier(self.pages[reader])[tier]), **plain_figures(found)}
                for tier, found in tiers.items()
            }
            for reader, tiers in self.figures.items()
        }
        return {
            "model": {
                name: getattr(self.summary, name)
                for name in ("loss", "wrong_loss", "image_gain", "similarity", "centred_similarity", "directions")
            },
            "figures": figures,
            "compression": [asdict(b) for b in self.curve],
            "pages": {reader: [asdict(page) for page in pages] for reader, pages in self.pages.items()},
        }


def plain_figures(figures: Mapping[str, Estimate | None]) -> dict[str, dict[str, float] | None]:
    """The figures for JSON."""
    return {name: asdict(figure) if figure else None for name, figure in figures.items()}


def measure(
    readers: Mapping[str, OCR],
    found: EvalSet,
    peers: Sequence[Peer] = (),
    max_tokens: int | None = None,
    progress: Progress = lambda reader, done, total: None,
) -> Measured:
    """Read every image of a set with our model, in one or several modes, and with other OCR systems, one at a time.

    `readers`: our model in each mode, by name. `max_tokens`: length limit of an answer. `progress(reader, done, total)`
    is called as images are read. Raises UserError if a sample or a reader fails.
    """
    (first, ocr), *_ = readers.items()
    scored = {name: read_in_mode(reader, found, name, progress, max_tokens) for name, reader in readers.items()}
    pages = {name: [r.score for r in readings] for name, readings in scored.items()}
    for peer in peers:
        pages[peer.name] = _read_with(peer, found, progress)
    losses = []
    for reading in read_documents(
        ocr.engine, ocr.tokenizer, found, found.ids, ocr.vision.mode(), ocr.precision, ocr.batch_size, read=False
    ):
        losses.append(reading)
        progress("losses", len(losses), len(found))
    vision_tokens = [r.vision_tokens for r in scored[first]]
    curve = compression_curve([r.compression for r in scored[first]], pages[first])
    return Measured(losses, pages, summarise(losses), vision_tokens, curve)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Context manager that shows a progress bar for each reader on stderr and removes it at the end."""
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks: dict[str, TaskID] = {}

        def update(reader: str, done: int, total: int) -> None:
            if reader not in tasks:
                tasks[reader] = shown.add_task(reader, total=total)
            shown.update(tasks[reader], completed=done)

        yield update


def read_in_mode(
    ocr: OCR,
    found: EvalSet,
    name: str,
    progress: Progress = lambda reader, done, total: None,
    max_tokens: int | None = None,
) -> list[ModeReading]:
    """Read every image as `nano-ocr read` does, in the mode of the reader `ocr`.

    `name`: the name that `progress` gets. The seconds of a page are those of its batch divided by its pages.
    """
    readings: list[ModeReading] = []
    for start in range(0, len(found), ocr.batch_size):
        indices = range(start, min(start + ocr.batch_size, len(found)))
        items = [found[i] for i in indices]
        started = time.perf_counter()
        pages: list[Page] = []
        for prompt, same in groupby(items, lambda item: item["messages"][0]["content"]):
            pages += ocr.read_many([item["images"][0] for item in same], prompt, max_tokens)
        seconds = (time.perf_counter() - started) / len(items)
        for i, item, page in zip(indices, items, pages):
            expected = item["messages"][-1]["content"]
            looped = page.status in (PageState.LOOPED, PageState.REPAIRED)
            score = score_page(found.ids[i], found.tiers[i], expected, page.text, seconds, found.fold_case, looped)
            readings.append(ModeReading(score, page.vision_tokens, len(ocr.tokenizer.encode(expected))))
        progress(name, len(readings), len(found))
    return readings


def _read_with(peer: Peer, found: EvalSet, progress: Progress) -> list[PageScore]:
    """Read every image with another OCR system. Each is generated only once, and outside of the measured time."""
    pages = []
    for index, (name, tier) in enumerate(zip(found.ids, found.tiers)):
        item = found[index]  # once, because synthetic documents are drawn again at each access
        picture, expected = to_rgb(item["images"][0]), item["messages"][-1]["content"]
        started = time.perf_counter()
        text = peer.read(picture, found.cut_lines)
        seconds = time.perf_counter() - started
        pages.append(score_page(name, tier, expected, text, seconds, found.fold_case))
        progress(peer.name, index + 1, len(found))
    return pages


def per_cent(figure: Estimate | None) -> str:
    """A figure (0 to 1) with its interval in per cent, such as `2.1% (1.4-3.0)`; empty if there is no figure."""
    if figure is None:
        return ""
    return f"{100 * figure.value:.1f}% ({100 * figure.low:.1f}-{100 * figure.high:.1f})"


def wide_console() -> Console:
    """A console for stdout; 200 columns wide if stdout is not a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


TierFigures = Mapping[str, Estimate | None]


def _plainly(name: str, pattern: str) -> Callable[[TierFigures], str]:
    """A function that formats the figure `name` without its interval."""
    return lambda figures: "" if (found := figures[name]) is None else pattern.format(found.value)


def _with_interval(name: str) -> Callable[[TierFigures], str]:
    return lambda figures: per_cent(figures[name])


def _words(figures: TierFigures) -> str:
    """Precision, recall and F1 of words, in per cent. Precision alone is high for a reader that reads little."""
    found = [figures[name] for name in ("precision", "recall", "f1")]
    return " / ".join(f"{100 * e.value:.1f}" for e in found if e is not None)


SECONDS = ("s a picture", _plainly("seconds", "{:.3f}"))
READING = (
    ("characters wrong", _with_interval("cer")),
    ("of which order", _plainly("order", "{:.1%}")),
    ("values right", _plainly("values", "{:.1%}")),
    ("words wrong", _plainly("wer", "{:.1%}")),
    ("words P / R / F1, %", _words),
    ("1 - edit distance", _plainly("similarity", "{:.1%}")),
    ("all right", _plainly("exact", "{:.1%}")),
    ("loops", _plainly("looping", "{:.1%}")),
    SECONDS,
)
ANSWERING = (("relaxed accuracy", _with_interval("relaxed")), ("exact", _plainly("exact", "{:.1%}")), SECONDS)
KEEPING_SILENT = (
    ("characters printed", _plainly("printed", "{:.1f}")),
    ("silent", _with_interval("exact")),
    SECONDS,
)


def table_rows(found: EvalSet, measured: Measured) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) of the figures that apply to this set. There is a row for each tier and reader."""
    columns: Sequence[tuple[str, Callable[[TierFigures], str]]] = READING
    if found.questions:
        columns = ANSWERING
    elif all(r.expected == "" for r in measured.readings):
        columns = KEEPING_SILENT
    figures = measured.figures
    rows = []
    for tier in next(iter(figures.values())):
        for reader, tiers in figures.items():
            n = len(by_tier(measured.pages[reader])[tier])
            rows.append([tier, str(n), reader, *(show(tiers[tier]) for _, show in columns)])
    return ["tier", "pictures", "reader", *(name for name, _ in columns)], rows


def results_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The rows as a table for the terminal."""
    table = Table(title=title)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i in (0, 2) else "right")
    for row in rows:
        table.add_row(*row)
    return table
