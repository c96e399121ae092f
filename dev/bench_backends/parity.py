"""Check that both backends read the same text, for single pages, in batches and served."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
from PIL import Image
from rich.console import Console

from dev.bench import serving
from nanochat.reading.ocr import OCR
from nanochat.synth import LEVELS, draw_document

MIXTURE = ("note", "leaf", "note", "page", "note", "leaf", "block", "page", "leaf", "sheet")
BATCHES = (16, 5, 40)
CLIENTS = 8


@dataclass
class TextParity:
    """Numbers of pages whose text differs from that of PyTorch in batches of 16."""

    pages: int
    characters: int
    different: dict[str, int] = field(default_factory=dict)
    """by way of reading"""


def drawn_pages(n: int) -> list[Image.Image]:
    """Synthetic documents of many kinds and sizes, from one line to a page."""
    levels = [LEVELS[MIXTURE[i % len(MIXTURE)]] for i in range(n)]
    return [Image.fromarray(draw_document(level, i, "val").image).convert("RGB") for i, level in enumerate(levels)]


def read(reader: OCR, pictures: Sequence[Image.Image], batch_size: int) -> list[str]:
    """The text of each image."""
    reader.batch_size = batch_size
    return [page.text for page in reader.read_many(pictures)]


def read_served(checkpoint: str, pictures: Sequence[Image.Image], clients: int) -> list[str]:
    """The text of each image from a server with `clients` concurrent clients."""

    def ask(picture: Image.Image) -> str:
        file = io.BytesIO()
        picture.save(file, "PNG")
        form = {"format": "json"}
        answer = httpx.post(f"{server.address}/v1/read", files={"files": file.getvalue()}, data=form, timeout=600)
        answer.raise_for_status()
        return str(answer.json()["pages"][0]["text"])

    with serving.serving(checkpoint, "--backend=onnx") as server, ThreadPoolExecutor(clients) as pool:
        return list(pool.map(ask, pictures))


def count_differing_pages(checkpoint: str, pictures: Sequence[Image.Image], console: Console) -> TextParity:
    """Read all images with PyTorch in batches of 16, then in every way with ONNX Runtime, and compare."""
    expected = read(OCR(checkpoint, device="cpu", backend="torch"), pictures, 16)
    found = TextParity(len(pictures), sum(map(len, expected)))
    onnx = OCR(checkpoint, backend="onnx")

    def compare(way: str, texts: list[str]) -> None:
        found.different[way] = sum(a != b for a, b in zip(expected, texts, strict=True))
        console.print(f"{way}: {found.different[way]} of {len(pictures)} differ from PyTorch")

    for n in BATCHES:
        compare(f"onnx, {n} at a time", read(onnx, pictures, n))
    compare("onnx, alone", [read(onnx, [picture], 1)[0] for picture in pictures])
    compare("onnx, served", read_served(checkpoint, pictures, CLIENTS))
    return found
