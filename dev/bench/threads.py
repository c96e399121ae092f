"""How long `nano-ocr read` takes by its number of threads and their way of waiting, beside other busy processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from nanochat.errors import UserError
from nanochat.threads import usable_cores

SETTINGS: dict[str, dict[str, str]] = {
    "chosen": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "a thread for each core, spinning": {"OMP_NUM_THREADS": "{cores}", "GOMP_SPINCOUNT": "300000"},
    "a thread for each core, sleeping": {"OMP_NUM_THREADS": "{cores}", "OMP_WAIT_POLICY": "PASSIVE"},
}
OURS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
BUSY = "while True: pass"


@dataclass
class Case:
    """One machine: so many cores, so many busy processes on them."""

    cores: int
    busy: int
    seconds: dict[str, float] = field(default_factory=dict)
    """by setting, the shortest of all rounds"""

    @property
    def over_best(self) -> float:
        """How much longer the chosen setting takes than the best: 0.1 is 10%."""
        return self.seconds["chosen"] / min(self.seconds.values()) - 1


@contextmanager
def busy_processes(n: int, cores: set[int]) -> Iterator[None]:
    """`n` processes that compute without end on these cores, at this process's priority."""
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


def read_seconds(file: str, setting: dict[str, str], cores: set[int]) -> float:
    """The time of one `nano-ocr read` from its start to its end. Raises UserError when it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment |= {name: value.format(cores=len(cores)) for name, value in setting.items()}
    started = time.perf_counter()
    command = [sys.executable, "-m", "nanochat.cli", "read", file]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    _, said = process.communicate()
    if process.returncode:
        raise UserError(f"nano-ocr read {file}: {said.strip()}")
    return time.perf_counter() - started


def measure_threads(file: str, rounds: int) -> list[Case]:
    """Every setting on one core and on all, alone and beside a busy process for each core.

    The settings of a case take turns, so that what else the machine does falls on all alike.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise UserError("threads are measured on Linux, where processes can be kept to some cores")
    here = sorted(os.sched_getaffinity(0))[: max(1, int(usable_cores()))]
    found = []
    for n in sorted({1, len(here)}):
        cores = set(here[:n])
        for busy in (0, n):
            case = Case(n, busy)
            with busy_processes(busy, cores):
                for _ in range(rounds):
                    for name, setting in SETTINGS.items():
                        seconds = read_seconds(file, setting, cores)
                        case.seconds[name] = min(seconds, case.seconds.get(name, seconds))
            found.append(case)
    return found
