"""Measure the speed of both backends, 8-bit graphs and other OCR systems, alternating on the same pages."""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from dev.usage import processor_seconds
from nanochat.errors import UserError
from nanochat.evaluation.peers import RapidOCR, Tesseract
from nanochat.files import FONT, PACKAGE, WORD_LIST
from nanochat.image_process import open_image
from nanochat.lines.finder import WEIGHTS, Finder
from nanochat.lines.layout import find_lines
from nanochat.lines.network import load_finder
from nanochat.reading.ocr import OCR
from nanochat.reading.shown import Lined

RECEIPT = PACKAGE.parent / "data/images/receipt_000.png"
A4, MARGIN = (1240, 1754), 150  # px at 150 dots per inch
TYPE, PITCH = 23, 34  # px: 11 point, and the line distance
TORCH, TORCH_LINES, ONNX, INT8 = "PyTorch", "PyTorch, lines by ONNX Runtime", "ONNX Runtime", "ONNX Runtime, 8 bits"

Way = Callable[[Sequence[Image.Image]], list[str]]
"""a function from images to their texts"""


@dataclass
class Times:
    """The times of one way for the same pages, round by round."""

    what: str
    """the pages"""
    pages: int
    """number of pages in a round"""
    way: str
    processor: list[float] = field(default_factory=list)
    """processor time in seconds for all pages, which excludes other programs"""
    elapsed: list[float] = field(default_factory=list)
    """elapsed seconds"""
    different: int = 0
    """number of pages whose text differs from that of PyTorch"""

    @property
    def seconds(self) -> float:
        """Processor time per page: the median of the rounds."""
        return median(self.processor) / self.pages


def a4_page() -> Image.Image:
    """A page of 42 full lines of words, black on white, at 150 dots per inch."""
    words = [word for word in WORD_LIST.read_text(encoding="utf-8").split() if word.isalpha()]
    rng, font = random.Random(0), ImageFont.truetype(str(FONT), TYPE)
    page = Image.new("RGB", A4, "white")
    pen, width = ImageDraw.Draw(page), A4[0] - 2 * MARGIN
    for y in range(MARGIN, A4[1] - MARGIN - PITCH, PITCH):
        line = rng.choice(words)
        while pen.textlength(longer := f"{line} {rng.choice(words)}", font) <= width:
            line = longer
        pen.text((MARGIN, y), line, "black", font)
    return page


def open_ways(checkpoint: str, int8: Path | None) -> dict[str, Way]:
    """The ways of reading by name, PyTorch alone first; other OCR systems if they are installed.

    `int8`: a folder with 8-bit graphs.
    """
    by_torch, by_onnx = OCR(checkpoint, device="cpu", backend="torch"), OCR(checkpoint, backend="onnx")
    finder = load_finder(WEIGHTS).eval().requires_grad_(False)
    ways: dict[str, Way] = {
        TORCH: lambda pictures: _read(by_torch, pictures, finder),
        TORCH_LINES: lambda pictures: _read(by_torch, pictures),
        ONNX: lambda pictures: _read(by_onnx, pictures),
    }
    if int8 is not None:
        by_int8 = OCR(int8, backend="onnx", int8=True)
        ways[INT8] = lambda pictures: _read(by_int8, pictures)
    for open_peer in (Tesseract, RapidOCR):
        try:
            peer = open_peer()
        except UserError:  # not installed
            continue
        ways[peer.name] = lambda pictures, peer=peer: [peer.read(p, False) for p in pictures]  # type: ignore[misc]
    return ways


def _read(ocr: OCR, pictures: Sequence[Image.Image], finder: Finder | None = None) -> list[str]:
    """The text of each image. `finder`: the line detector to use, or None for the default."""
    given = pictures if finder is None else (Lined(picture, find_lines(picture, finder)) for picture in pictures)
    return [page.text for page in ocr.read_many(given)]


@contextmanager
def _timed(times: Times):
    """Record the time of the body, including child processes."""
    before, started = processor_seconds(), time.perf_counter()
    yield
    times.processor.append(processor_seconds() - before)
    times.elapsed.append(time.perf_counter() - started)


def measure_reading(
    ways: dict[str, Way], what: str, pictures: Sequence[Image.Image], repeats: int, rounds: int, console: Console
) -> list[Times]:
    """Read the images `repeats` times in every way, alternating, with the order reversed in every second round."""
    found = {name: Times(what, repeats * len(pictures), name) for name in ways}
    texts: dict[str, list[str]] = {}
    for i in range(rounds):
        for name in list(ways)[:: 1 if i % 2 == 0 else -1]:
            with _timed(found[name]):
                for _ in range(repeats):
                    texts[name] = ways[name](pictures)
        said = ", ".join(f"{name} {times.processor[-1]:.1f} s" for name, times in found.items())
        console.print(f"{what}, round {i + 1}: {said}", highlight=False)
    for name, times in found.items():
        times.different = sum(a != b for a, b in zip(texts[TORCH], texts[name], strict=True))
    return list(found.values())


def measure_commands(rounds: int) -> list[Times]:
    """Measure the whole command, from its start to the text of one receipt, and `--help`."""
    what = "one receipt, the whole command"
    ours = [sys.executable, "-m", "nanochat.cli"]
    commands = [
        (what, TORCH_LINES, [*ours, "read", str(RECEIPT), "--backend=torch"]),
        (what, ONNX, [*ours, "read", str(RECEIPT), "--backend=onnx"]),
        ("nano-ocr --help", "-", [*ours, "--help"]),
    ]
    if program := shutil.which("tesseract"):
        commands.append((what, "Tesseract", [program, str(RECEIPT), "stdout"]))
    found = [Times(what, 1, way) for what, way, _ in commands]
    for _ in range(rounds):
        for times, (_, _, command) in zip(found, commands):
            with _timed(times):
                subprocess.run(command, check=True, capture_output=True)
    return found


def measure_speed(
    checkpoint: str, int8: Path | None, scans: Sequence[Path], rounds: int, console: Console
) -> list[Times]:
    """Measure one receipt, an A4 page and the scans, each in every way, and then the command."""
    ways = open_ways(checkpoint, int8)
    for read in ways.values():
        read([Image.new("RGB", (256, 64), "white")])
    sets = [("one receipt", [open_image(RECEIPT)], 5), ("an A4 page of 42 lines", [a4_page()], 1)]
    if scans:
        sets.append((f"{len(scans)} scans", [open_image(path) for path in scans], 1))
    found = [times for one in sets for times in measure_reading(ways, *one, rounds, console)]
    return found + measure_commands(rounds)


def speed_table(found: Sequence[Times]) -> Table:
    """A table with a row for each way and kind of page. Ratios are medians over the rounds."""
    table = Table("pages", "read by", "s per page", "pages/min", "speed-up", "other texts")
    first = {times.what: times for times in reversed(found)}
    for times in found:
        ratio = median(a / b for a, b in zip(first[times.what].processor, times.processor))
        shown = f"{times.seconds:.2f}", f"{60 / times.seconds:.1f}", f"{ratio:.2f}", str(times.different)
        table.add_row(times.what, times.way, *shown)
    return table
