"""Reading an archive with Ray Data, on this machine or a cluster: tasks open pages, and actors read them with a model.

The number of opened pages in memory is bounded. If a process dies, another repeats its current work.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nanochat.archives.settings import BatchSettings
from nanochat.archives.worker import BROKEN, Reader, Rows, Work
from nanochat.errors import UserError, extra
from nanochat.reading.job import PAGES_TOGETHER

TASKS = 2000  # most tasks that open pages; a task that dies is repeated, so tasks should be short
CONNECT_SECONDS = 10.0  # timeout for reaching a cluster
BLOCK_BYTES = 32 * 2**20  # size of a block of opened pages


@dataclass
class Workers:
    """Number and resources of the processes."""

    n: int
    """number of processes with a model"""
    device: str
    """device of the models: cuda or cpu"""
    cpus: float
    """CPU cores of each process with a model"""
    gpus: float
    """GPUs of each process with a model"""
    opening_cpus: float
    """CPU cores of each task that opens pages"""


def _check_answers(address: str) -> None:
    """Raise UserError unless HOST:PORT accepts connections; Ray itself would retry for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return  # `auto` or nothing, which Ray resolves at once
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster at {address} ({error})") from error


@contextmanager
def ray_running(address: str) -> Iterator[None]:
    """Context manager that starts Ray on this machine, or connects to a cluster, with little logging.

    Raises UserError if Ray is not installed or cannot be started, or the cluster cannot be reached.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # do not send usage statistics
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # workers use this environment unchanged
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # the rest is in Ray's own logs
    os.environ.setdefault("RAY_worker_niceness", "0")  # by default 15: on a busy machine, workers would hardly run
    with extra("archives"):
        import ray
        import ray.data
    _check_answers(address)
    options: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # also plain exceptions, if the machine is too busy to start Ray in time
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        if not address:
            raise UserError(f"Ray cannot be started on this machine ({reason})") from error
        hint = "if it requires a token, set RAY_AUTH_MODE=token"
        raise UserError(f"no Ray cluster at {address} ({reason}); {hint}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK_BYTES
    try:
        yield
    finally:
        ray.shutdown()


def plan_workers(settings: BatchSettings) -> Workers:
    """Number and resources of the processes: those in the settings, otherwise by the resources of the machines.

    Raises UserError if there are not enough GPUs.
    """
    import ray

    there = ray.cluster_resources()
    gpus = settings.gpus if settings.gpus is not None else float(there.get("GPU", 0) > 0)
    if gpus > there.get("GPU", 0):
        raise UserError(f"--gpus {gpus:g}: only {there.get('GPU', 0):g} available")
    cores = there["CPU"]
    n = settings.model_workers or max(1, int(there["GPU"] / gpus if gpus else cores - 1))
    opening = min(0.99, 0.4 * cores)  # less than models use, because Ray merges two stages with the same resources
    cpus = min(1.0, (cores - opening) / n)
    return Workers(n, "cuda" if gpus else "cpu", cpus, gpus, opening)


def rows_of_ray(files: list[dict[str, str]], work: Work, workers: Workers, most: int | None) -> Iterator[Rows]:
    """Yield rows of the ledger as they become available.

    `most`: read at most this many pages of each file; None: all. Raises UserError if the workers fail.
    """
    import ray

    data = ray.data.from_items(files, override_num_blocks=min(len(files), TASKS))
    pages = data.map_batches(work.opening(most), batch_size=1, num_cpus=workers.opening_cpus)
    read = pages.map_batches(
        Reader,
        fn_constructor_args=work.reader_arguments(workers.device),
        batch_size=PAGES_TOGETHER,
        compute=ray.data.ActorPoolStrategy(size=workers.n),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )
    try:
        for row in read.iter_rows():
            if row["state"] == BROKEN:
                raise UserError(f"the workers failed: {row['why']}")
            yield row
    except ray.exceptions.RayError as error:
        raise UserError(f"the workers failed: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """The last line of the original error, which Ray wraps in errors that contain the whole traceback."""
    lines: list[str] = []
    wrapped: BaseException | None = error
    while wrapped is not None:
        lines = [line.strip() for line in str(wrapped).splitlines() if line.strip()] or lines
        wrapped = wrapped.__cause__
    return lines[-1] if lines else type(error).__name__
