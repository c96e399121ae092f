"""What processes have used: processor time and memory."""

import resource
from pathlib import Path


def processor_seconds() -> float:
    """Processor seconds of this process and of its ended child processes."""
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def resident_mb(process: str | int = "self") -> float:
    """Memory of a process, given by its id, in MB; on systems other than Linux, the peak of this process."""
    status = Path(f"/proc/{process}/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
