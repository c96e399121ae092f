"""Measure this machine: its rate of matrix products, and the fastest precision that is accurate."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nanochat.precision import Precision as Precision

PRECISIONS = ("float32", "medium", "bfloat16")
TOLERANCE = 2e-2  # largest relative error that a precision may show to be chosen by `auto`

# Dense bfloat16 tensor-core peaks in FLOP/s, from NVIDIA's data sheets (without sparsity).
GPU_PEAKS = {
    "B200": 2.25e15,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "T4": 65e12,
}


@contextmanager
def _matmul_precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def matmul_rate(precision: str = "float32", device: str | torch.device = "cpu", seconds: float = 0.2) -> float:
    """FLOP/s of a square matrix product on this machine in this precision, the best of several tries.

    2 n^3 operations a product [definition]; n = 1024 on a CPU, 8192 on a GPU.
    """
    device = torch.device(device)
    n = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    own = torch.Generator(device)  # the count of numbers drawn depends on the clock, and weights must not
    best, deadline = float("inf"), time.perf_counter() + seconds
    with _matmul_precision("medium" if precision == "medium" else torch.get_float32_matmul_precision()):
        rows = n if device.type == "cuda" else 32  # probe a slice first, because a slow precision could take seconds
        a, b = (torch.randn(m, n, device=device, dtype=dtype, generator=own) for m in (rows, n))
        while time.perf_counter() < deadline or best == float("inf"):
            start = time.perf_counter()
            (a @ b)[0, 0].item()
            best = min(best, (time.perf_counter() - start) / len(a))
            if len(a) < n and best * n < seconds / 4:
                a, best = torch.randn(n, n, device=device, dtype=dtype, generator=own), float("inf")
    return 2.0 * n * n / best


def _relative_error(precision: str) -> float:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(64, 512, generator=generator), torch.randn(512, 64, generator=generator)
    exact = a.double() @ b.double()
    if precision == "bfloat16":
        product = (a.bfloat16() @ b.bfloat16()).double()
    else:
        with _matmul_precision("medium" if precision == "medium" else "highest"):
            product = (a @ b).double()
    return float((product - exact).norm() / exact.norm())


def choose_precision(name: str, device: torch.device, before: str | None = None) -> Precision:
    """The precision called `name`; `auto` measures for under a second and takes the fastest that is accurate.

    On CUDA `auto` is bfloat16 with float32 master weights. `medium` also sets torch's float32 matmul precision.
    `before`: the precision of the run that is resumed; `auto` keeps it if its rate is more than half the best one.
    """
    if name == "auto":
        if device.type == "cuda":
            name = "bfloat16"
        else:
            rates = {p: matmul_rate(p, device) for p in PRECISIONS if _relative_error(p) <= TOLERANCE}
            name = max(rates, key=lambda p: rates[p] * (1.0 if p == "float32" else 0.9))  # a tie goes to float32
            if before in rates and rates[before] > rates[name] / 2:
                name = before
    if name == "medium":
        torch.set_float32_matmul_precision("medium")
    return Precision(name)


def known_peak(device: torch.device) -> float | None:
    """The FLOP/s of a known GPU by its data sheet; None for any other device."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for model, peak in GPU_PEAKS.items():
            if all(word in name for word in model.split()):
                return peak
    return None


def peak_flops(device: torch.device, precision: Precision) -> float:
    """The peak FLOP/s for utilisation: that of the data sheet for a known GPU, else a measured product."""
    return known_peak(device) or matmul_rate(precision.name, device, seconds=1.0)


class Utilisation:
    """Rates relative to the peak of the device (MFU).

    A peak that was measured while other programs ran is too low. A rate above it reveals this: the peak is then
    measured again, and is at least that rate. A data sheet's peak is kept: a rate above it is an error in counting.
    """

    def __init__(self, device: torch.device, precision: Precision) -> None:
        self.device, self.precision = device, precision
        self.measured = known_peak(device) is None
        self.peak = peak_flops(device, precision)

    def share(self, rate: float) -> float:
        """`rate`, in FLOP/s of one device, as a share of the peak; at most 1 where the peak was measured."""
        if self.measured and rate > self.peak:
            self.peak = max(rate, peak_flops(self.device, self.precision))
        return rate / self.peak
