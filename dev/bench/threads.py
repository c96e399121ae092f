"""Measure the time to read one image by number of threads, on an idle machine and beside busy processes."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from nanochat.errors import UserError
from nanochat.threads import Load, usable_cores

SETTINGS: dict[str, dict[str, str]] = {
    "chosen": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "a thread for each core": {"OMP_NUM_THREADS": "{cores}"},
}
OCR_PROGRAM = "import sys; from nanochat import OCR; OCR('nano').read(sys.argv[1])"
WAYS: dict[str, tuple[str, ...]] = {
    "nano-ocr read": ("-m", "nanochat.cli", "read", "{file}"),
    "OCR()": ("-c", OCR_PROGRAM, "{file}"),
    "nano-ocr batch": ("-m", "nanochat.cli", "batch", "{file}", "--out", "{folder}/batch"),
    "OCRmyPDF's plugin": (
        "-m", "ocrmypdf", "--plugin", "nanochat.ocrmypdf_plugin", "--image-dpi", "150", "--output-type", "pdf",
        "--quiet", "--jobs", "1", "{file}", "{folder}/out.pdf",
    ),
}  # fmt: skip
OURS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
BUSY = "while True: pass"


@dataclass
class Case:
    """The results for a number of cores and of busy processes on them."""

    way: str
    cores: int
    busy: int
    others: float
    """mean number of cores that other programs used meanwhile, if there were no busy processes of ours"""
    rounds: dict[str, list[float]] = field(default_factory=dict)
    """seconds of each round, by setting"""

    @property
    def seconds(self) -> dict[str, float]:
        """The median of the rounds, by setting. With busy processes, the shortest would be a matter of luck."""
        return {name: median(rounds) for name, rounds in self.rounds.items()}

    @property
    def over_best(self) -> float:
        """Relative time that the chosen setting takes in excess of the best: 0.1 is 10%."""
        return self.seconds["chosen"] / min(self.seconds.values()) - 1


@contextmanager
def busy_processes(n: int, cores: set[int]) -> Iterator[None]:
    """Context with `n` processes that compute without end on these cores, at the priority of this process."""
    running = []
    try:
        for _ in range(n):
            running.append(subprocess.Popen([sys.executable, "-c", BUSY]))
            os.sched_setaffinity(running[-1].pid, cores)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def read_seconds(way: str, file: str, setting: dict[str, str], cores: set[int]) -> float:
    """Seconds to read once, from start to end of the process. Raises UserError if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment |= {name: value.format(cores=len(cores)) for name, value in setting.items()}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *(part.format(file=file, folder=folder) for part in WAYS[way])]
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
        _, said = process.communicate()
        seconds = time.perf_counter() - started
    if process.returncode:
        raise UserError(f"{way} of {file}: {said.strip()}")
    return seconds


def other_load(cores: set[int]) -> float:
    """The mean number of these cores that other programs use now."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        load = Load()
        time.sleep(2)
        return load.others()
    finally:
        os.sched_setaffinity(0, before)


def measure_threads(file: str, rounds: int) -> Iterator[Case]:
    """Measure every way and setting on all cores, and `nano-ocr read` on one, without and with a busy process per core.

    The settings of a case alternate, so that other programs affect all of them equally.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise UserError("threads are measured on Linux, where processes can be kept to some cores")
    here = sorted(os.sched_getaffinity(0))[: max(1, int(usable_cores()))]
    for n in sorted({1, len(here)}, reverse=True):
        cores = set(here[:n])
        others = other_load(cores)
        for busy in (0, n):
            with busy_processes(busy, cores):
                for way in WAYS if n == len(here) else ("nano-ocr read",):
                    case = Case(way, n, busy, others)
                    for _ in range(rounds):
                        for name, setting in SETTINGS.items():
                            case.rounds.setdefault(name, []).append(read_seconds(way, file, setting, cores))
                    yield case
