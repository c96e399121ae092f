"""Measure the limits of the machine: the rate of matrix products at a model's shapes, and of memory copies."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F

from nanochat.nano_deepseek_ocr import ModelConfig
from nanochat.precision import Precision

PRODUCT_SECONDS, COPY_SECONDS = 0.15, 0.3


class Stopwatch:
    """Seconds from lap to lap: by events on a GPU, which do not synchronise until they are read, else by the clock."""

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self._marks: list[tuple[str, float | torch.cuda.Event]] = [("", self._now())]

    def _now(self) -> "float | torch.cuda.Event":
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def lap(self, name: str) -> None:
        """End a lap, and call it `name`."""
        self._marks.append((name, self._now()))

    def seconds(self) -> dict[str, float]:
        """Seconds of the laps, added up by name."""
        if self.on_gpu:
            torch.cuda.synchronize()
        found: dict[str, float] = {}
        for (_, before), (name, after) in zip(self._marks, self._marks[1:]):
            if isinstance(after, torch.cuda.Event):
                seconds = before.elapsed_time(after) / 1000  # type: ignore[union-attr]
            else:
                seconds = after - before  # type: ignore[operator]
            found[name] = found.get(name, 0.0) + seconds
        return found


def best_seconds(run: Callable[[], object], device: torch.device, seconds: float) -> float:
    """The shortest time of a call: after a warm-up, as many calls as fit in `seconds`, but at least three.

    The shortest and not the median, because other programs can only add time.
    """
    run()
    found: list[float] = []
    started = time.perf_counter()
    while len(found) < 3 or time.perf_counter() - started < seconds:
        watch = Stopwatch(device)
        run()
        watch.lap("run")
        found.append(watch.seconds()["run"])
    return min(found)


@dataclass(frozen=True)
class Product:
    """A matrix product of the model: (rows, inner) x (inner, columns), where rows are tokens."""

    name: str
    rows: int
    inner: int
    columns: int


def products(config: ModelConfig, tokens: int, supervised: int, view_sizes: list[tuple[int, int]]) -> list[Product]:
    """The largest linear layers of each part, at the sizes of a batch."""
    gpt, sam, clip = config.gpt.n_embd, config.vision.sam, config.vision.clip
    patches = sum(h * w // sam.patch_size**2 for h, w in view_sizes)
    positions = sum(prod(config.vision.layout(h, w).view_rows) + 1 for h, w in view_sizes)
    found = [
        Product("SAM's MLP", patches, sam.width, 4 * sam.width),
        Product("CLIP's MLP", positions, clip.width, 4 * clip.width),
        Product("GPT's MLP", tokens, gpt, 4 * gpt),
        Product("GPT's attention", tokens, gpt, gpt),
        Product("head", min(supervised, 1024), gpt, config.gpt.vocab_size),
    ]
    return [product for product in found if product.rows]


def product_rate(product: Product, precision: Precision, device: torch.device) -> float:
    """FLOP/s of one product, 2 x rows x inner x columns operations [definition], inputs in the precision's dtype."""
    a = torch.randn(product.rows, product.inner, device=device, dtype=precision.dtype())
    b = torch.randn(product.columns, product.inner, device=device, dtype=precision.dtype())
    seconds = best_seconds(lambda: F.linear(a, b), device, PRODUCT_SECONDS)
    return 2.0 * product.rows * product.inner * product.columns / seconds


def copy_rate(n_bytes: int, device: torch.device) -> float:
    """Bytes per second, read and written, of a copy of `n_bytes`."""
    source = torch.ones(max(1, n_bytes // 4), dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return 2.0 * 4 * source.numel() / best_seconds(lambda: target.copy_(source), device, COPY_SECONDS)
