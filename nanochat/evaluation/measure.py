"""Measuring readers on a set: ours and, on the same pictures, others; figures for each tier, as table and as JSON."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
    """One picture, read in one mode."""

    score: PageScore
    vision_tokens: int
    """of all its views"""
    text_tokens: int
    """that the expected text takes"""


@dataclass
class Measured:
    """What was found on one set."""

    readings: list[Reading]
    """the losses of each expected text under its picture, shown whole as in training"""
    pages: dict[str, list[PageScore]]
    """of each reader, ours first, in the order of the set"""
    summary: Summary
    """loss, image gain and similarity of the model"""
    vision_tokens: list[int]
    """that each picture takes in our first mode"""
    curve: list[Bin]
    """`compression.compression_curve` of the same"""

    def figures(self) -> dict[str, dict[str, dict[str, Estimate | None]]]:
        """reader -> tier -> figure, as `scores.summarise_pages` names them."""
        return {
            reader: {tier: summarise_pages(found) for tier, found in by_tier(pages).items()}
            for reader, pages in self.pages.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, for JSON."""
        figures = {
            reader: {
                tier: {"pictures": len(by_tier(self.pages[reader])[tier]), **_plain(found)}
                for tier, found in tiers.items()
            }
            for reader, tiers in self.figures().items()
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


def _plain(figures: Mapping[str, Estimate | None]) -> dict[str, dict[str, float] | None]:
    return {name: asdict(figure) if figure else None for name, figure in figures.items()}


def measure(
    readers: Mapping[str, OCR],
    found: EvalSet,
    peers: Sequence[Peer] = (),
    max_tokens: int | None = None,
    progress: Progress = lambda reader, done, total: None,
) -> Measured:
    """Read every picture of a set with a model in one mode or several, by name, and with the others, one at a time.

    Raises UserError as the set and the readers do.
    """
    (first, ocr), *_ = readers.items()
    scored = {name: read_in_mode(reader, found, name, progress, max_tokens) for name, reader in readers.items()}
    pages = {name: [r.score for r in readings] for name, readings in scored.items()}
    for peer in peers:
        pages[peer.name] = _read_with(peer, found, progress)
    losses = []
    for reading in read_documents(
        ocr.engine, ocr.tokenizer, found, found.ids, ocr.view, ocr.precision, ocr.batch_size, read=False
    ):
        losses.append(reading)
        progress("losses", len(losses), len(found))
    ratios = [r.text_tokens / r.vision_tokens for r in scored[first]]
    vision_tokens = [r.vision_tokens for r in scored[first]]
    return Measured(losses, pages, summarise(losses), vision_tokens, compression_curve(ratios, pages[first]))


@contextmanager
def bars() -> Iterator[Progress]:
    """A bar for each reader on stderr, gone at the end."""
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
    """Read every picture as `nano-ocr read` does, in the mode of the reader, whom `progress` is told as `name`.

    Seconds are those of a batch, shared out.
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
    pages = []
    for index, (name, tier) in enumerate(zip(found.ids, found.tiers)):
        item = found[index]  # once: drawn documents are drawn anew each time they are asked for
        picture, expected = to_rgb(item["images"][0]), item["messages"][-1]["content"]
        started = time.perf_counter()
        text = peer.read(picture, found.cut_lines)
        seconds = time.perf_counter() - started
        pages.append(score_page(name, tier, expected, text, seconds, found.fold_case))
        progress(peer.name, index + 1, len(found))
    return pages


def per_cent(figure: Estimate | None) -> str:
    """`2.1% (1.4-3.0)`, a figure and its interval; nothing where there is no figure."""
    if figure is None:
        return ""
    return f"{100 * figure.value:.1f}% ({100 * figure.low:.1f}-{100 * figure.high:.1f})"


def wide_console() -> Console:
    """The terminal, or, where there is none, as many columns as a row needs."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


TierFigures = Mapping[str, Estimate | None]


def _plainly(name: str, pattern: str) -> Callable[[TierFigures], str]:
    """The figure called `name`, without its interval."""
    return lambda figures: "" if (found := figures[name]) is None else pattern.format(found.value)


def _with_interval(name: str) -> Callable[[TierFigures], str]:
    return lambda figures: per_cent(figures[name])


def _words(figures: TierFigures) -> str:
    """Precision, recall and F1: precision alone is gamed by reading little."""
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
    """Headings and rows, one for each tier and reader, of the figures that mean something on this set."""
    columns: Sequence[tuple[str, Callable[[TierFigures], str]]] = READING
    if found.questions:
        columns = ANSWERING
    elif all(r.expected == "" for r in measured.readings):
        columns = KEEPING_SILENT
    figures = measured.figures()
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
