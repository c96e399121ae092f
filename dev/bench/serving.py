"""Measurements of the server from outside, as a separate process: concurrent against sequential requests, time to the
first text, memory over thousands of requests, and malformed requests."""

import base64
import io
import json
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from PIL import Image, ImageDraw

from dev.usage import resident_mb
from nanochat.errors import UserError

START_SECONDS = 120
FIELDS = ("model", "messages", "max_tokens", "temperature", "n", "stop", "seed", "stream", "top_k", "top_p", "tools")
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, -0.5, 1e308, "", "x", "\u0000", [], [None], {}, {"a": []}, [[[]]], "nano",
    [{"role": "user"}],
)  # fmt: skip


@dataclass
class Server:
    """A running server."""

    address: str
    process: subprocess.Popen

    @property
    def resident_mb(self) -> float:
        """Memory of its process (Linux only)."""
        return resident_mb(self.process.pid)


@contextmanager
def serving(checkpoint: str, *flags: str) -> Iterator[Server]:
    """`nano-ocr serve` on a free port, until the block ends. Raises UserError if it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "nanochat.cli", "serve", "--checkpoint", checkpoint, f"--port={port}", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        until = time.monotonic() + START_SECONDS
        while not _ready(server.address):
            if process.poll() is not None or time.monotonic() > until:
                raise UserError(f"the server of {checkpoint} did not start: run nano-ocr serve to see why")
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait()


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Streams:
    """The results with so many concurrent clients."""

    streams: int
    requests: int
    seconds: float
    gain: float
    """pages per second, relative to one client"""
    first: float
    """median seconds to the first text of a page"""
    first_slow: float
    """95th percentile of the same"""
    equal: int
    """number of answers equal to those of one client"""


def measure_streams(server: Server, files: Sequence[Path], streams: Sequence[int], requests: int) -> list[Streams]:
    """Read `requests` pages by uploads with streamed text, with 1 client and then with each number of `streams`."""
    pages = [files[i % len(files)].read_bytes() for i in range(requests)]
    _read_page(server.address, pages[0])  # warm-up
    found: list[Streams] = []
    alone: list[str] = []
    for n in (1, *(n for n in streams if n != 1)):
        started = time.perf_counter()
        with ThreadPoolExecutor(n) as clients:
            answers = list(clients.map(lambda page: _read_page(server.address, page), pages))
        seconds = time.perf_counter() - started
        texts, waits = [text for text, _ in answers], sorted(first for _, first in answers)
        alone = alone or texts
        gain = found[0].seconds / seconds if found else 1.0
        slow = waits[ceil(0.95 * len(waits)) - 1]
        equal = sum(text == other for text, other in zip(texts, alone))
        found.append(Streams(n, requests, seconds, gain, median(waits), slow, equal))
    return found


def _read_page(address: str, page: bytes) -> tuple[str, float]:
    """(text of one page, seconds to its first piece)."""
    started, first, text = time.perf_counter(), 0.0, ""
    form = {"stream": "text"}
    with httpx.stream("POST", f"{address}/v1/read", files={"files": page}, data=form, timeout=600) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            event = json.loads(line)
            if event["event"] == "text":
                first = first or time.perf_counter() - started
            text = event["text"] if event["event"] == "page" else text
    return text, first or time.perf_counter() - started


def picture(kind: str, seed: int = 0, pages: int = 1) -> bytes:
    """A small image of one line, as a file in a format of Pillow."""
    drawn = [Image.new("RGB", (160, 32), "white") for _ in range(pages)]
    for i, one in enumerate(drawn):
        ImageDraw.Draw(one).text((6, 6), f"No. {seed + i}", fill="black", font_size=18)
    file = io.BytesIO()
    drawn[0].save(file, kind, **({"save_all": True, "append_images": drawn[1:]} if pages > 1 else {}))
    return file.getvalue()


def chat(model: str, data: bytes | None, max_tokens: int = 2) -> dict[str, Any]:
    """A chat request, with or without an image."""
    content: Any = "Hello"
    if data is not None:
        url = "data:image/png;base64," + base64.b64encode(data).decode()
        content = [{"type": "image_url", "image_url": {"url": url}}]
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": max_tokens}


def measure_memory(server: Server, model: str, at: Sequence[int]) -> list[tuple[int, float]]:
    """(requests so far, MB), for chats with and without an image, streamed or not, and uploads of images and PDFs."""
    found: list[tuple[int, float]] = []
    with httpx.Client(base_url=server.address, timeout=600) as client:
        for i in range(1, max(at) + 1):
            if i % 4 == 0:
                kind, pages = ("PDF", 2) if i % 8 else ("PNG", 1)
                files, form = {"files": picture(kind, i, pages)}, {"max_tokens": "2"}
                client.post("/v1/read", files=files, data=form).raise_for_status()
            else:
                body = chat(model, picture("PNG", i) if i % 4 == 1 else None) | {"stream": i % 4 == 2}
                client.post("/v1/chat/completions", json=body).raise_for_status()
            if i in at:
                found.append((i, server.resident_mb))
    return found


@dataclass
class Malformed:
    """The results of malformed requests."""

    requests: int
    statuses: dict[str, int]
    slowest: float
    """seconds of the slowest answer"""
    before: float
    """memory of the server in MB after the first tenth of the requests"""
    after: float


def _broken(data: bytes, chance: random.Random) -> bytes:
    """A body truncated at random, with a few bytes changed."""
    kept = bytearray(data[: chance.randint(0, len(data))])
    for _ in range(chance.randint(0, 3) if kept else 0):
        kept[chance.randrange(len(kept))] = chance.randrange(256)
    return bytes(kept)


def malformed(model: str, chance: random.Random) -> tuple[str, dict[str, Any]]:
    """(path, arguments of httpx): a broken body, odd values, or a broken image in a chat or as an upload."""
    files = {kind: picture(kind, chance.randrange(99), n) for kind, n in (("PNG", 1), ("PDF", 2), ("TIFF", 2))}
    headers = {"content-type": "application/json"}
    body = chat(model, files["PNG"], 1)
    kinds: tuple[Callable[[], tuple[str, dict[str, Any]]], ...] = (
        lambda: ("/v1/chat/completions", {"content": _broken(json.dumps(body).encode(), chance), "headers": headers}),
        lambda: ("/v1/chat/completions", {"content": chance.randbytes(chance.randint(0, 300)), "headers": headers}),
        lambda: ("/v1/chat/completions", {"json": body | {chance.choice(FIELDS): chance.choice(ODD)}}),
        lambda: ("/v1/chat/completions", {"json": chat(model, _broken(files["PNG"], chance), 1)}),
        lambda: ("/v1/read", {
            "files": {"files": _broken(files[chance.choice(list(files))], chance)},
            "data": {"max_tokens": chance.choice(["1", "1", "-3", "x"]), "pages": chance.choice(["", "", "9-2"])},
        }),
        lambda: ("/v1/read", {"content": chance.randbytes(200), "headers": {"content-type": "multipart/form-data"}}),
    )  # fmt: skip
    return chance.choice(kinds)()


def measure_malformed(server: Server, model: str, n: int, seed: int = 1) -> Malformed:
    """Send `n` requests, each malformed in a different way. A request without an answer in a minute is an error."""
    chance, statuses, slowest, before = random.Random(seed), Counter[str](), 0.0, 0.0
    with httpx.Client(base_url=server.address, timeout=60) as client:
        for i in range(n):
            path, sent = malformed(model, chance)
            started = time.perf_counter()
            statuses[str(client.post(path, **sent).status_code)] += 1
            slowest = max(slowest, time.perf_counter() - started)
            if i + 1 == max(1, n // 10):
                before = server.resident_mb
    return Malformed(n, dict(sorted(statuses.items())), slowest, before, server.resident_mb)
