"""Devices and ranks: the device to compute on, and the rank of this process among several."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from nanochat.errors import UserError


def get_dist_info() -> tuple[bool, int, int, int]:
    """(whether torchrun started this process, rank, local rank, world size), from the environment."""
    if "RANK" not in os.environ:
        return False, 0, 0, 1
    return True, int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])


def print0(*args, **kwargs) -> None:
    """Print on the first rank only, and flush."""
    if get_dist_info()[1] == 0:
        print(*args, **{"flush": True, **kwargs})


def autodetect_device_type() -> str:
    """The first of `cuda`, `mps` and `cpu` that is available."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_device(name: str = "") -> torch.device:
    """The device called `name`: `cuda`, `mps`, `cpu`, or `cuda:1` for one of several; if empty, the best available.

    Raises UserError when this machine does not have it, or no driver for it.
    """
    name = name or autodetect_device_type()
    if name.partition(":")[0] not in ("cuda", "mps", "cpu"):
        raise UserError(f"no device called {name!r}: choose cuda, mps or cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)  # torch reports an unusable device at its first use
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name} cannot be used here ({str(error).splitlines()[0]})") from error
    return device


def _join_group(backend: str, timeout: timedelta) -> None:
    """Join the process group of torchrun.

    If torchrun restarts processes, its key-value store may still contain the addresses of those that died. So every
    start uses a prefix of its own in the store.
    """
    store, rank, world_size = next(rendezvous("env://", timeout=timeout))
    attempt = (store.add("joined", 1) - 1) // world_size
    store = dist.PrefixStore(f"attempt_{attempt}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)


def compute_init(device_type: str | None = None, seed: int = 42) -> tuple[bool, int, int, int, torch.device]:
    """Seed torch, join the process group if torchrun started us, and pick the device.

    Returns (ddp, rank, local rank, world size, device). NCCL on GPUs, gloo on CPUs; a collective that waits longer
    than ten minutes fails, so that a lost rank does not make the others wait forever.
    """
    device = choose_device(device_type or "")
    ddp, rank, local_rank, world_size = get_dist_info()
    torch.manual_seed(seed)
    if device.type == "cuda":
        device = device if device.index is not None else torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    if ddp and not dist.is_initialized():
        _join_group("nccl" if device.type == "cuda" else "gloo", timedelta(minutes=10))
    return ddp, rank, local_rank, world_size, device


def compute_cleanup() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
