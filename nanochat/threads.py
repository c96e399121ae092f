"""How many threads read on a CPU, and how they wait for each other.

torch takes a thread for every core, and a thread that has finished its part spins until the others have. That is
quickest on a machine that does nothing else. Where other programs run on the same cores, threads spin while those that
they wait for are not running, and a page takes many times as long. So threads spin for a moment only
(`wait_without_spinning`), and there are as many as there are cores that nobody else uses (`Threads`).

Whoever sets OMP_NUM_THREADS has decided: nothing is changed then.
"""

import os
import sys
import threading
import time
from pathlib import Path

MOMENT = "1000"  # rounds of libgomp's waiting loop, about 50 microseconds: what putting a thread to sleep costs
WAITING = {"GOMP_SPINCOUNT": MOMENT, "KMP_BLOCKTIME": "0"}  # libgomp (Linux), Intel's and LLVM's OpenMP
SHORTEST = 0.1  # seconds over which a load can be measured: the system counts in hundredths
SHARED = 0.4  # share of a core that others may use while it still counts as free
STAT = Path("/proc/stat")
CGROUPS = Path("/sys/fs/cgroup")


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep after a moment; for the beginning of a command, since torch reads this when imported.

    Sets variables of this process's environment, which its children inherit; none that is set, and none where
    OMP_WAIT_POLICY says how to wait.
    """
    if "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)


def usable_cores() -> float:
    """Cores that this process may use: by its affinity, and by the CPU quota of its container (cgroup)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(affinity), *_quotas()])


def _quotas() -> list[float]:
    """CPU quotas in cores of the control groups that this process is in (version 2), and of a container's (1)."""
    found = []
    try:
        own = next(line[3:].strip() for line in open("/proc/self/cgroup") if line.startswith("0::"))
    except (OSError, StopIteration):
        own = "/"
    group = CGROUPS / own.strip("/")
    for folder in (group, *group.parents):
        if folder != CGROUPS and CGROUPS not in folder.parents:
            break
        found.append(_quota(folder / "cpu.max"))
    found.append(_quota(CGROUPS / "cpu/cpu.cfs_quota_us", CGROUPS / "cpu/cpu.cfs_period_us"))
    return [quota for quota in found if quota]


def _quota(*files: Path) -> float:
    """`200000 100000`, in one file or two, as cores; 0 where there is no limit."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return max(0.0, float(quota) / float(period))
    except (OSError, ValueError):  # there is no such file, or it says `max`
        return 0.0


class Load:
    """How much of this process's cores other programs use, from when this is made until it is asked."""

    def __init__(self) -> None:
        self.started, self.own, self.busy = time.monotonic(), time.process_time(), _busy_seconds()

    @property
    def seconds(self) -> float:
        """How long it has been measured."""
        return time.monotonic() - self.started

    def others(self) -> float:
        """Cores that others have used on average; on a system that does not say, 0."""
        if self.busy is None:
            return 0.0
        busy = _busy_seconds()
        used = 0.0 if busy is None else busy - self.busy - (time.process_time() - self.own)
        return max(0.0, used / max(self.seconds, 1e-9))


def _busy_seconds() -> float | None:
    """Seconds that this process's cores have computed since the machine was started; None where /proc does not say.

    Time of programs with a lower priority than this one (nice) is not counted: they make way.
    """
    try:
        lines = STAT.read_text().splitlines()
    except OSError:
        return None
    cores = {f"cpu{n}" for n in os.sched_getaffinity(0)}
    makes_way = os.getpriority(os.PRIO_PROCESS, 0) <= 0
    ticks = 0
    for line in lines:
        name, *counts = line.split()
        if name in cores:
            user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, counts[:8])
            ticks += user + system + irq + softirq + steal + (0 if makes_way else nice)
    return ticks / os.sysconf("SC_CLK_TCK")


def threads_for(cores: float, others: float) -> int:
    """How many threads to use on `cores` of which others use as many as `others`: one for each free core, at least 1.

    A core that others use for less than `SHARED` of the time counts as free; one thread on a busier core would make
    all the others wait.
    """
    return max(1, int(min(cores, cores - others + SHARED)))


class Threads:
    """Fits torch's and OpenCV's number of threads to the load; never over torch's own number or the program's.

    `adapt` is called by the thread that computes, before it begins; it costs a fraction of a millisecond.
    """

    def __init__(self) -> None:
        self.load = Load()

    def adapt(self) -> int:
        """Choose anew by the load since the last choice, if that is long enough; returns the number in use."""
        torch = sys.modules.get("torch")
        if torch is None:  # another library computes, with threads of its own
            return 1
        if "OMP_NUM_THREADS" in os.environ or self.load.seconds < SHORTEST:
            return torch.get_num_threads()
        chosen = threads_for(usable_cores(), self.load.others())
        self.load = Load()
        return _limits.apply(chosen)


class _Limits:
    """What this process's threads were set to, so that more than one `Threads` can lower and raise them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.most: int | None = None
        self.last: int | None = None

    def apply(self, chosen: int) -> int:
        import cv2
        import torch

        with self.lock:
            now = torch.get_num_threads()
            if now != self.last:  # torch's own number, or what the program has set since
                self.most = now
            assert self.most is not None
            chosen = min(chosen, self.most)
            if chosen != now:
                torch.set_num_threads(chosen)
                cv2.setNumThreads(chosen)
            self.last = chosen
            return chosen


_limits = _Limits()
