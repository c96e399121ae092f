"""Measure the cost of reading on this machine, and how reliable its own checks are.

python -m dev.bench_reading modes --model=d20           # tokens and seconds of each mode, random weights
python -m dev.bench_reading speed --files scans/*.png   # pages per minute with 1 and 2 workers, and what limits it
python -m dev.bench_reading audit --folder=scans        # the ink audit, on synthetic pages and on your own
python -m dev.bench_reading places                      # boxes of lines in whole views, against the true ones
python -m dev.bench_reading guard                       # the cost of loop detection in decoding
python -m dev.bench_reading memory --pages=3000         # memory while reading one long PDF

Prints tables, then all figures as JSON on the last line.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from dev.bench import reading
from nanochat.command import entry_point, parse_args
from nanochat.common import choose_device
from nanochat.errors import UserError
from nanochat.reading.ocr import OCR
from nanochat.tasks.folder_set import FolderSet
from nanochat.tasks.synth_set import SynthSet

PLACE_LEVELS = ("C", "D", "E", "note")


@dataclass
class Config:
    """Measure one aspect of reading."""

    what: Positional[Literal["modes", "speed", "audit", "places", "guard", "memory"]]
    """what to measure"""
    model: str = "d20"
    """for modes: model size, nano or d20"""
    checkpoint: str = "nano"
    """model to read with: step_N.pt, an exported folder, or nano"""
    mode: str = ""
    """how pages are shown to the model; by default the mode that it was trained for"""
    files: tuple[str, ...] = ("data/images",)
    """for speed: files to read, the first page of each"""
    folder: str = ""
    """for audit: folder of images with their texts: val.json, or a .txt beside each image"""
    pages: int = 40
    """number of pages"""
    device: str = ""
    """cuda, mps or cpu; by default the best available"""


def show_modes(config: Config, console: Console) -> Any:
    found = reading.measure_modes(config.model, choose_device(config.device))
    width, height = reading.PAGE
    peak = found[0].flops / found[0].seconds / found[0].share
    title = f"{config.model}, random weights: a page of {width} x {height} pixels; peak {peak / 1e9:,.0f} GFLOP/s"
    table = Table("mode", "views", "tokens", "TFLOP", "seconds", "share of peak", title=title)
    for cost in found:
        numbers = f"{cost.flops / 1e12:.2f}", f"{cost.seconds:.2f}", f"{cost.share:.0%}"
        table.add_row(cost.mode, cost.views, str(cost.tokens), *numbers)
    console.print(table)
    return [asdict(cost) for cost in found]


def show_speed(config: Config, console: Console) -> Any:
    reader = OCR(config.checkpoint, config.device, config.mode, backend="torch")
    title = "of a page, the seconds that processors worked"
    table = Table("workers", "pages", "pages a minute", "opening", "finding lines", "model", "the rest", "all",
                  title=title)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        found = [reading.measure_speed(reader, config.files, config.pages, w, Path(folder)) for w in (1, 2)]
    for speed in found:
        parts = [f"{part:.3f}" for part in (speed.opening, speed.finding, speed.model, speed.rest, speed.working)]
        table.add_row(str(speed.workers), str(speed.pages), f"{speed.pages_per_minute:.1f}", *parts)
    console.print(table)
    return [asdict(speed) for speed in found]


def show_audit(config: Config, console: Console) -> Any:
    found = []
    for split in ("val", "unseen", "hard"):
        drawn = SynthSet(split, config.pages)
        drawn.keys = [key for key, tier in zip(drawn.keys, drawn.tiers) if tier == "page"]
        drawn.ids = [f"{level}-{i}" for level, i in drawn.keys]
        found.append(reading.measure_audit(f"drawn pages, {split}", drawn))
    if config.folder:
        found.append(reading.measure_audit(config.folder, FolderSet(config.folder, config.pages)))
    table = Table("pages", "n", "right: ok", "half: missing", "twice: invented", title="the ink audit")
    for row in found:
        shares = [f"{share:.0%}" for share in (row.right, row.half, row.doubled)]
        table.add_row(row.pictures, str(row.pages), *shares)
    empty = reading.measure_empty(config.pages)
    for kind, (n, quiet, invented) in empty.items():
        table.add_row(f"without a letter: {kind}", str(n), f"{quiet:.0%} (no text)", "", f"{invented:.0%} (any text)")
    console.print(table)
    return {"sets": [asdict(row) for row in found], "empty": empty}


def show_places(config: Config, console: Console) -> Any:
    reader = OCR(config.checkpoint, config.device, config.mode or "native", backend="torch")
    alike = Levenshtein.normalized_similarity
    found = [reading.measure_places(reader, level, config.pages, alike) for level in PLACE_LEVELS]
    table = Table("level", "lines read", "overlap", "of what it looked at", "which holds the middle")
    for row in found:
        numbers = f"{row.overlap:.2f}", f"{row.attended:.2f}", f"{row.holds:.0%}"
        table.add_row(row.level, str(row.lines), *numbers)
    console.print(table)
    return [asdict(row) for row in found]


def show_guard(config: Config, console: Console) -> Any:
    reader = OCR(config.checkpoint, config.device, backend="torch")
    found = [reading.measure_guard(reader, rows, rounds=4) for rows in (1, 16)]
    table = Table("answers together", "tokens", "s to write", "s with the guard", "more", "s in the guard", "share")
    for cost in found:
        more, share = cost.guarded / cost.decoding - 1, cost.inside / cost.decoding
        times = f"{cost.decoding:.3f}", f"{cost.guarded:.3f}", f"{more:.1%}", f"{cost.inside:.4f}", f"{share:.1%}"
        table.add_row(str(cost.rows), str(cost.tokens), *times)
    console.print(table)
    return [asdict(cost) for cost in found]


def show_memory(config: Config, console: Console) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        found = reading.measure_memory(config.checkpoint, config.pages, Path(folder))
    table = Table("page", "MB", "MB of workers", title=f"nano-ocr read, a PDF of {config.pages} A4 pages")
    for now in found:
        table.add_row(str(now.page), f"{now.own:.0f}", f"{now.workers:.0f}")
    console.print(table)
    return [asdict(now) for now in found]


SHOWN = {
    "modes": show_modes,
    "speed": show_speed,
    "audit": show_audit,
    "places": show_places,
    "guard": show_guard,
    "memory": show_memory,
}


@entry_point
def main() -> None:
    config = parse_args(Config, __doc__)
    if config.pages < 1:
        raise UserError(f"--pages {config.pages}: give at least 1")
    print(json.dumps(SHOWN[config.what](config, Console())))


if __name__ == "__main__":
    main()
