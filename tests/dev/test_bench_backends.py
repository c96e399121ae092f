"""The comparison of the backends: counts of differing texts, the speed ratio, and error rates."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from dev.bench_backends.__main__ import find_images
from dev.bench_backends.errors import compare_errors
from dev.bench_backends.speed import ONNX, TORCH, a4_page, measure_reading, speed_table
from nanochat.errors import UserError
from nanochat.reading.state import PageState
from nanochat.tasks.folder_set import FolderSet

QUIET = Console(quiet=True)
PAGES = [Image.new("RGB", (8, 8))] * 3


def busy(seconds: float) -> None:
    started = time.process_time()
    while time.process_time() - started < seconds:
        pass


def test_ways_alternate_and_are_compared_with_the_first():
    calls: list[str] = []

    def way(name: str, seconds: float, texts: list[str]):
        def read(pictures):
            calls.append(name)
            busy(seconds)
            return texts

        return read

    ways = {TORCH: way(TORCH, 0.06, ["a", "b", "c"]), ONNX: way(ONNX, 0.02, ["a", "x", "y"])}
    slow, fast = measure_reading(ways, "pages", PAGES, 2, 2, QUIET)
    assert calls == [TORCH, TORCH, ONNX, ONNX, ONNX, ONNX, TORCH, TORCH]  # the order alternates
    assert (slow.different, fast.different) == (0, 2)
    assert slow.seconds == pytest.approx(0.02, rel=0.5)  # 2 times 3 pages in 0.12 s
    assert 2 < slow.seconds / fast.seconds < 4
    ratio = list(speed_table([slow, fast]).columns[4].cells)
    assert ratio[0] == "1.00" and 2 < float(ratio[1]) < 4


def test_a4_page_has_full_lines_within_its_margins():
    ink = np.asarray(a4_page().convert("L")) < 128
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    assert rows[0] >= 150 and rows[-1] < 1754 - 150 and columns[0] >= 150 and columns[-1] < 1240 - 150
    bands = np.flatnonzero(np.diff(ink.any(1).astype(int)) == 1)
    assert len(bands) == 42


@dataclass
class Said:
    text: str
    status: PageState = PageState.OK
    vision_tokens: int = 10


class Reader:
    """Returns given texts for any image."""

    batch_size = 2
    tokenizer: Any = type("Letters", (), {"encode": staticmethod(list)})

    def __init__(self, texts: list[str]) -> None:
        self.texts = iter(texts)

    def read_many(self, pictures, prompt, max_tokens):
        return [Said(next(self.texts)) for _ in pictures]


def test_error_rates_of_two_readers_on_the_same_pages(tmp_path: Path):
    for name, text in (("a", "abcde"), ("b", "fghij")):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(text)
    readers: Any = {"float32": Reader(["abcde", "fghiX"]), "int8": Reader(["abcde", "fgXXX"])}
    found = compare_errors("mine", FolderSet(tmp_path, 5), readers)
    assert (found.pages, found.characters, found.different) == (2, 10, 1)
    assert (found.float32.value, found.int8.value) == (0.1, 0.3)


def test_images_are_found_in_subfolders_and_missing_ones_reported(tmp_path: Path):
    (tmp_path / "images").mkdir()
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / "images" / name).touch()
    assert [path.name for path in find_images(str(tmp_path), 5)] == ["a.JPG", "b.png"]
    with pytest.raises(UserError, match="contains no images"):
        find_images(str(tmp_path / "nowhere"), 5)
