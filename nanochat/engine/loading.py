"""A model to read with, from a checkpoint: run by torch, or by ONNX Runtime from the graphs beside its weights."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanochat.checkpoint import load_model, peek_meta
from nanochat.errors import UserError
from nanochat.model_config import ModelConfig
from nanochat.onnx_files import EXTRA, INT8, TORCH_EXTRA, has_graphs, has_runtime, has_torch
from nanochat.precision import Precision
from nanochat.threads import wait_without_spinning
from nanochat.tokenizer import RustBPETokenizer


@dataclass
class Loaded:
    """A model, ready for an Engine, and what belongs to it."""

    model: Any
    """a NanoDeepseekOCR, or an OnnxBackend"""
    tokenizer: RustBPETokenizer
    meta: dict
    precision: Precision
    device: Any
    """a torch.device, or `cpu`"""
    by_torch: bool


def may_have_gpu() -> bool:
    """Whether it is worth asking torch for a GPU, whose import takes seconds."""
    return sys.platform != "linux" or Path("/dev/kfd").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def choose_backend(name: str, checkpoint: Path, device: str = "", int8: bool = False) -> str:
    """`torch` or `onnx`. `auto`: torch on a GPU, else onnx where the checkpoint has graphs, else torch.

    Raises UserError for an unknown name, or where what it needs is not installed.
    """
    if name not in ("auto", "torch", "onnx"):
        raise UserError(f"no backend called {name!r}: choose auto, torch or onnx")
    on_cpu = device.partition(":")[0] in ("", "cpu")
    if name == "onnx" and not on_cpu:
        raise UserError(f"the onnx backend reads on the CPU, not on {device}")
    if name == "torch" and not has_torch():
        raise UserError(f"the torch backend needs PyTorch: {TORCH_EXTRA}")
    if name != "auto":
        return name
    graphs = has_graphs(checkpoint) and (not int8 or all((checkpoint / file).is_file() for file in INT8.values()))
    if has_torch():
        if not (on_cpu and graphs and has_runtime()):
            return "torch"
        if device or not may_have_gpu():
            return "onnx"
        from nanochat.common import autodetect_device_type

        return "onnx" if autodetect_device_type() == "cpu" else "torch"
    if not has_runtime():
        raise UserError(f"neither ONNX Runtime nor PyTorch is installed: to read, {EXTRA}")
    if not on_cpu:
        raise UserError(f"device {device} needs PyTorch: {TORCH_EXTRA}")
    if not graphs:
        what = "graphs at 8 bits (export with --int8)" if int8 and has_graphs(checkpoint) else "graphs for ONNX Runtime"
        raise UserError(f"{checkpoint} has no {what}, and PyTorch is not installed: {TORCH_EXTRA}")
    return "onnx"


def load_reader(checkpoint: Path, device: str = "", backend: str = "auto", int8: bool = False) -> Loaded:
    """Load step_N.pt or a folder to read with. Raises UserError as `choose_backend` does, or for bad files."""
    wait_without_spinning()  # before torch is imported
    if choose_backend(backend, checkpoint, device, int8) == "onnx":
        from nanochat.engine.onnx_backend import OnnxBackend

        if not checkpoint.is_dir():
            raise UserError(f"{checkpoint}: the onnx backend reads a folder of `scripts.export --format=onnx`")
        meta = peek_meta(checkpoint)
        model = OnnxBackend(checkpoint, ModelConfig.from_dict(meta["model"]), int8)
        tokenizer = RustBPETokenizer.from_directory(checkpoint)
        return Loaded(model, tokenizer, meta, Precision("float32"), "cpu", by_torch=False)
    from nanochat.common import choose_device
    from nanochat.engine.int8 import to_int8
    from nanochat.machine import choose_precision

    where = choose_device(device)
    if int8 and where.type != "cpu":
        raise UserError(f"--int8 is for reading on a CPU, not on {where.type}")
    own, tokenizer, meta = load_model(checkpoint, where)
    own.requires_grad_(False)  # position tables of frozen weights are fitted to a size once, not per call
    if int8:
        to_int8(own.gpt)
    precision = choose_precision("auto" if where.type == "cuda" else "float32", where)
    return Loaded(own, tokenizer, meta, precision, where, by_torch=True)
