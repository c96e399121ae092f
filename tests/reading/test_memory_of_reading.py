"""The memory of a process that reads many pages: what it frees it returns, and few large pages are open at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.drawn_files import write_pdf
from PIL import Image, ImageDraw, ImageFont

from nanochat.files import FONT
from nanochat.reading.job import Job, read_input
from nanochat.reading.ledger import Ledger
from nanochat.reading.page import Page
from nanochat.reading.sources import find_sources

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
HOLES = """
from nanochat.freed import return_freed_memory

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))

held = [bytearray(100_000) if i % 2 else bytes(3000) for i in range(2000)]
held = held[::2]  # 100 MB are free, in holes
before = resident()
return_freed_memory()
print((before - resident()) // 1024)
"""
PEAK = """
from nanochat.cli import main
try:
    main()
finally:  # not ru_maxrss, which counts the process that started this one
    print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def python(code: str, *arguments: str) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


@LINUX
def test_freed_memory_between_memory_in_use_is_returned() -> None:
    assert int(python(HOLES)) > 50  # MB


@pytest.mark.parametrize(("points", "together"), [((960, 1008), 2), ((100, 100), 8)])
def test_fewer_large_pages_are_passed_to_the_model_at_a_time(
    points: tuple[int, int], together: int, tmp_path: Path
) -> None:
    """A page of 960 x 1008 points is one of 4.2 million pixels."""
    counts = []

    class Reader:
        def read_many(self, pictures, prompt, max_tokens, seconds):
            sizes = [picture.size for picture in pictures]
            counts.append(len(sizes))
            yield from [Page("", 1, 1, 1, 0.1, "end", width=width, height=height) for width, height in sizes]

    path = write_pdf(tmp_path / "a.pdf", 9, points)
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    totals = read_input(lambda: Reader(), Job(find_sources([str(path)]), "<image>"), ledger)  # type: ignore[arg-type, return-value]
    ledger.close()
    assert totals.pages == 9 == sum(counts) and max(counts) == together


@LINUX
def test_a_pdf_of_large_pages_is_read_within_its_memory(tmp_path: Path) -> None:
    """A4 pages: 359 MB here. With all pages of a batch open and nothing returned, it was 446 MB and grew from there."""
    font = ImageFont.truetype(str(FONT), 40)
    pages = [Image.new("RGB", (1240, 1754), "white") for _ in range(9)]
    for number, page in enumerate(pages):
        ImageDraw.Draw(page).text((150, 200), f"Page {number} of the harbour log", "black", font)
    pages[0].save(path := tmp_path / "log.pdf", save_all=True, append_images=pages[1:], resolution=150)
    *texts, peak = python(PEAK, "read", str(path), "--text-layer", "never", "--backend", "onnx").split("\n")[:-1]
    assert sum("harbour log" in text for text in texts) == 9
    assert int(peak) < 400  # MB
