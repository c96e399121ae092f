"""Loading a model for inference: with PyTorch, or with ONNX Runtime if the checkpoint contains exported graphs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanochat.checkpoint import load_model, peek_meta
from nanochat.engine.backend import Backend
from nanochat.errors import UserError
from nanochat.model_config import ModelConfig
from nanochat.onnx_files import DECODER, EXTRA, INT8, TORCH_EXTRA, check_weights, has_graphs, has_runtime, has_torch
from nanochat.precision import Precision
from nanochat.threads import wait_without_spinning
from nanochat.tokenizer import RustBPETokenizer


@dataclass
class Loaded:
    """A model to pass to `Engine`, with its tokenizer and metadata."""

    model: Any
    """a NanoDeepseekOCR or an OnnxBackend"""
    tokenizer: RustBPETokenizer
    meta: dict
    """contents of `meta_N.json` or `config.json`"""
    precision: Precision
    """dtype of the computation"""
    device: Any
    """a torch.device, or `cpu` for ONNX Runtime"""
    by_torch: bool
    """whether PyTorch runs the model"""


def may_have_gpu() -> bool:
    """Whether this machine may have a GPU. Faster than asking PyTorch, whose import takes seconds."""
    return sys.platform != "linux" or Path("/dev/kfd").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def choose_backend(name: str, checkpoint: Path, device: str = "", int8: bool = False) -> str:
    """Choose the backend for a checkpoint: returns `torch` or `onnx`.

    `name`: `torch`, `onnx` or `auto`. `auto` is torch on a GPU; elsewhere onnx if the folder `checkpoint` contains
    graphs (with `int8`, 8-bit graphs), else torch. `device`: as in `choose_device`; empty to detect it.
    Raises UserError for an unknown name, or if the packages that the backend needs are not installed.
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
    """Load a model for inference.

    `checkpoint`: step_N.pt or an exported folder. `device`: cpu, cuda or mps; empty to detect it. `backend`: as in
    `choose_backend`. `int8`: 8-bit weights in the language model, on a CPU only.
    Raises UserError if a file is missing or broken, or as `choose_backend` does.
    """
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
    if has_graphs(checkpoint):  # only they know what the weights must be
        check_weights(checkpoint / DECODER)
    if int8 and where.type != "cpu":
        raise UserError(f"--int8 is for reading on a CPU, not on {where.type}")
    own, tokenizer, meta = load_model(checkpoint, where)
    own.requires_grad_(False)  # position tables of frozen weights are fitted to an image size once, not in every call
    if int8:
        to_int8(own.gpt)
    precision = choose_precision("auto" if where.type == "cuda" else "float32", where)
    return Loaded(own, tokenizer, meta, precision, where, by_torch=True)


def backend_of(model: Any) -> Backend:
    """The backend that runs `model`: itself if it is a Backend, else a new TorchBackend for a NanoDeepseekOCR."""
    if isinstance(model, Backend):
        return model
    from nanochat.engine.torch_backend import TorchBackend  # here, so that the ONNX backend does not import torch

    return TorchBackend(model)
