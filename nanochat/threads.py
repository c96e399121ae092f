"""The number of threads that compute on a CPU, and how they wait for each other.

PyTorch starts one thread per core, and a thread that has finished its part spins until the others have too. That is
fastest on an idle machine. When other programs use the same cores, threads spin while the ones they wait for are not
running, and a page takes several times as long. Therefore threads sleep after a moment (`wait_without_spinning`), and
PyTorch has one thread for each core that no other program uses (`adapt_threads`).

ONNX Runtime needs no such care. Its threads sleep at once, and take a new part of the work whenever they have done one,
so that a thread that is not running delays little. It has one thread per core whatever the load (`graph_threads`): the
system then gives it a larger share of a busy machine than it gives to one thread.

If the user has set OMP_NUM_THREADS, that number is used.
"""

import os
import sys
import threading
import time
from pathlib import Path

MOMENT = "1000"  # iterations of libgomp's waiting loop, about 50 microseconds: the cost of putting a thread to sleep
WAITING = {"GOMP_SPINCOUNT": MOMENT, "KMP_BLOCKTIME": "0"}  # libgomp (Linux); the OpenMP of Intel and LLVM
SHORTEST = 0.1  # seconds over which a load can be measured: the system counts in hundredths
HELD = 2.0  # seconds for which a number of threads is kept
MOST = 16  # most threads of an ONNX graph: operators of a small model do not profit from more
SHARED = 0.4  # a core counts as free while other programs use less than this share of it
STAT = Path("/proc/stat")
CGROUPS = Path("/sys/fs/cgroup")


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep after a moment, and start to measure the load. Call this before torch is imported.

    Sets environment variables, which child processes inherit. A variable that is set already stays as it is, and
    nothing is set if OMP_WAIT_POLICY is, or once torch has been imported, which reads the variables only then.
    """
    if "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)
    _choice.start()


def own_cores() -> int:
    """Cores that this process may run on (its affinity)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores() -> float:
    """Cores whose time this process may use: those of its affinity, limited by the CPU quota of its container."""
    return min([float(own_cores()), *_quotas()])


def _quotas() -> list[float]:
    """CPU quotas in cores, of the control groups that this process is in (version 2) and of a container (version 1)."""
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
    """Quota divided by period, such as `200000 100000` in one file or two, in cores; 0 without a limit."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return max(0.0, float(quota) / float(period))
    except (OSError, ValueError):  # the file does not exist, or says `max`
        return 0.0


class Load:
    """How much of this process's cores other programs have used since this object was created."""

    def __init__(self) -> None:
        self.started, self.own, self.busy = time.monotonic(), time.process_time(), _busy_seconds()

    @property
    def seconds(self) -> float:
        """How long the load has been measured."""
        return time.monotonic() - self.started

    def others(self) -> float:
        """Cores that other programs used on average; 0 on a system that does not report it."""
        if self.busy is None:
            return 0.0
        busy = _busy_seconds()
        used = 0.0 if busy is None else busy - self.busy - (time.process_time() - self.own)
        return max(0.0, used / max(self.seconds, 1e-9))


def _busy_seconds() -> float | None:
    """Seconds that this process's cores have computed since the machine was started; None if /proc does not say.

    Time of programs with a lower priority (nice) is not counted, because the system runs this one first.
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


def threads_for(quota: float, cores: int, others: float) -> int:
    """The number of threads: one for each free core, at least 1 and at most `quota`.

    `cores`: cores that the process may run on; `others`: how many of them other programs use on average. A core counts
    as free while others use less than `SHARED` of it, since a thread on a busier core makes all the others wait.
    """
    return max(1, int(min(quota, cores - others + SHARED)))


def _wanted() -> int:
    """The number that the user has set with OMP_NUM_THREADS, at most the number of cores; 0 if there is none."""
    number = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(own_cores(), int(number)) if number.isdigit() else 0


class _ThreadChoice:
    """PyTorch's number of threads and the load that it was chosen by; one object for all threads of the process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.load: Load | None = None
        self.number: int | None = None
        self.torch_most: int | None = None
        self.torch_last: int | None = None

    def start(self) -> None:
        """Begin to measure the load, unless that has begun."""
        with self.lock:
            if self.load is None:
                self.load = Load()

    def renew(self) -> int:
        """The number to use, chosen again if the last choice is `HELD` old.

        The first call waits until the load has been measured for long enough.
        """
        self.start()
        with self.lock:
            assert self.load is not None
            if self.number is None:
                time.sleep(max(0.0, SHORTEST - self.load.seconds))
            if self.number is None or self.load.seconds >= HELD:
                self.number = threads_for(usable_cores(), own_cores(), self.load.others())
                self.load = Load()
            return self.number

    def apply(self, number: int) -> None:
        """Give torch `number` threads, but no more than it had, or than the program gave it; OpenCV as many."""
        torch, cv2 = sys.modules["torch"], sys.modules.get("cv2")
        with self.lock:
            now = torch.get_num_threads()
            if now != self.torch_last:  # the default of torch, or a number that the program has set
                self.torch_most = now
            assert self.torch_most is not None
            number = min(number, self.torch_most)
            if number != now:
                torch.set_num_threads(number)
            self.torch_last = number
            if cv2 is not None and cv2.getNumThreads() != number:
                cv2.setNumThreads(number)


_choice = _ThreadChoice()


def graph_threads() -> int:
    """The number of threads of an ONNX graph: one per usable core, at most `MOST`; what OMP_NUM_THREADS says if set."""
    return _wanted() or max(1, min(MOST, int(usable_cores())))


def adapt_threads() -> None:
    """Fit PyTorch's number of threads to the load since the last choice, unless that was less than `HELD` seconds ago.

    Call it in the thread that computes, before it begins. The first call may wait for up to `SHORTEST` seconds. Does
    nothing if torch has not been imported, or if the user has set OMP_NUM_THREADS.
    """
    if "torch" in sys.modules and "OMP_NUM_THREADS" not in os.environ:
        _choice.apply(_choice.renew())
