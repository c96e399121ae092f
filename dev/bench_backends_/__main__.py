"""PyTorch and ONNX Runtime compared: is the text the same, and how much faster is one than the other?

python -m dev.bench_backends parity              # 200 drawn pages: alone, in batches of three sizes, served
python -m dev.bench_backends speed               # 40 drawn receipts and notes, in turn
python -m dev.bench_backends speed --files a.png b.png

Both run in one process, in turn. Times are processor time: other programs do not count. A table for people, then all
figures as JSON on the last line.
"""

import io
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Literal

import httpx
from PIL import Image
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from dev.bench import serving
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.image_process import open_image
from nanochat.reading.ocr import OCR
from nanochat.synth import LEVELS, draw_document

MIXTURE = ("note", "leaf", "note", "page", "note", "leaf", "block", "page", "leaf", "sheet")
BATCHES = (16, 5, 40)
CLIENTS = 8


@dataclass
class Config:
    """Compare the backends."""

    what: Positional[Literal["parity", "speed"]]
    """what to measure"""
    checkpoint: str = "nano"
    """model that reads: nano, or a folder with graphs"""
    pages: int = 0
    """how many drawn pages; by default 200 for parity, 40 for speed"""
    files: tuple[str, ...] = ()
    """pictures to read instead of drawn pages"""
    rounds: int = 3
    """how often each backend reads all of them, for speed"""
    int8: bool = False
    """the graphs at 8 bits: for speed"""


@dataclass
class Parity:
    """Pages whose text differs from that of torch in batches of 16."""

    pages: int
    characters: int
    different: dict[str, int] = field(default_factory=dict)
    """by the way of reading"""


@dataclass
class Speed:
    """Processor seconds for all pages, round by round."""

    pages: int
    torch: list[float] = field(default_factory=list)
    onnx: list[float] = field(default_factory=list)
    different: int = 0
    """pages whose text differs"""

    @property
    def ratio(self) -> float:
        """How many times as many pages ONNX Runtime reads in a time: the median of the rounds."""
        return median(a / b for a, b in zip(self.torch, self.onnx))


def drawn_pages(n: int) -> list[Image.Image]:
    """Documents of many kinds and sizes, from one line to a page."""
    levels = [LEVELS[MIXTURE[i % len(MIXTURE)]] for i in range(n)]
    return [Image.fromarray(draw_document(level, i, "val").image).convert("RGB") for i, level in enumerate(levels)]


def read(reader: OCR, pictures: Sequence[Image.Image], batch_size: int) -> list[str]:
    """The text of each picture."""
    reader.batch_size = batch_size
    return [page.text for page in reader.read_many(pictures)]


def read_served(checkpoint: str, pictures: Sequence[Image.Image], clients: int) -> list[str]:
    """The text of each picture from a server that `clients` ask at one time."""

    def ask(picture: Image.Image) -> str:
        file = io.BytesIO()
        picture.save(file, "PNG")
        form = {"format": "json"}
        answer = httpx.post(f"{server.address}/v1/read", files={"files": file.getvalue()}, data=form, timeout=600)
        answer.raise_for_status()
        return str(answer.json()["pages"][0]["text"])

    with serving.serving(checkpoint, "--backend=onnx") as server, ThreadPoolExecutor(clients) as pool:
        return list(pool.map(ask, pictures))


def measure_parity(checkpoint: str, pictures: Sequence[Image.Image], console: Console) -> Parity:
    """Read all pictures with torch in batches of 16, then in every way with ONNX Runtime, and compare."""
    expected = read(OCR(checkpoint, device="cpu", backend="torch"), pictures, 16)
    found = Parity(len(pictures), sum(map(len, expected)))
    onnx = OCR(checkpoint, backend="onnx")

    def compare(way: str, texts: list[str]) -> None:
        found.different[way] = sum(a != b for a, b in zip(expected, texts, strict=True))
        console.print(f"{way}: {found.different[way]} of {len(pictures)} differ from torch")

    for n in BATCHES:
        compare(f"onnx, {n} at a time", read(onnx, pictures, n))
    compare("onnx, alone", [read(onnx, [picture], 1)[0] for picture in pictures])
    compare("onnx, served", read_served(checkpoint, pictures, CLIENTS))
    return found


def measure_speed(checkpoint: str, pictures: Sequence[Image.Image], rounds: int, int8: bool, console: Console) -> Speed:
    """Read all pictures with each backend in turn; a few before the first round warm both up."""
    readers = {
        "torch": OCR(checkpoint, device="cpu", backend="torch"),
        "onnx": OCR(checkpoint, backend="onnx", int8=int8),
    }
    found, texts = Speed(len(pictures)), dict[str, list[str]]()
    for reader in readers.values():
        read(reader, pictures[:2], 16)
    for i in range(rounds):
        for name in sorted(readers, reverse=i % 2 == 0):
            started = time.process_time()
            texts[name] = read(readers[name], pictures, 16)
            getattr(found, name).append(time.process_time() - started)
        console.print(f"round {i + 1}: torch {found.torch[-1]:.1f} s, onnx {found.onnx[-1]:.1f} s")
    found.different = sum(a != b for a, b in zip(texts["torch"], texts["onnx"], strict=True))
    return found


@entry_point
def main() -> None:
    config, console = parse_args(Config, __doc__), Console()
    if config.pages < 0 or config.rounds < 1:
        raise UserError("give at least 1 page and 1 round")
    pictures = [open_image(file) for file in config.files]
    pictures = pictures or drawn_pages(config.pages or {"parity": 200, "speed": 40}[config.what])
    if config.what == "parity":
        print(json.dumps(asdict(measure_parity(config.checkpoint, pictures, console))))
        return
    found = measure_speed(config.checkpoint, pictures, config.rounds, config.int8, console)
    table = Table("pages", "torch, s a page", "onnx, s a page", "times as fast", "different texts")
    seconds = (f"{median(times) / found.pages:.3f}" for times in (found.torch, found.onnx))
    table.add_row(str(found.pages), *seconds, f"{found.ratio:.2f}", str(found.different))
    console.print(table)
    print(json.dumps({**asdict(found), "ratio": found.ratio}))


if __name__ == "__main__":
    main()
