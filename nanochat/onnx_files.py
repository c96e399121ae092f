"""Graphs for ONNX Runtime: where they lie, how they are opened, and whether they belong to the weights beside them."""

import hashlib
import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

from nanochat.errors import UserError

VERSION = "2"
"""of the graphs' inputs and outputs; a graph of another one is refused"""
WEIGHTS = "model.safetensors"
ENCODER, DECODER, LINES = "encoder.onnx", "decoder.onnx", "model.onnx"
INT8 = {ENCODER: "encoder.int8.onnx", DECODER: "decoder.int8.onnx"}
BackendName = Literal["auto", "torch", "onnx"]
"""what runs the model"""
EXTRA = "run `pip install onnxruntime`"
TORCH_EXTRA = 'run `pip install "nano-deepseek-ocr[torch]"`'


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # an import hook refuses it
        return False


def has_runtime() -> bool:
    """Whether ONNX Runtime is installed."""
    return _is_installed("onnxruntime")


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return _is_installed("torch")


def has_graphs(folder: Path) -> bool:
    """Whether a model's folder holds both graphs that reading needs."""
    return all((folder / name).is_file() for name in (ENCODER, DECODER))


@cache
def _hash(path: Path, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_hash(path: Path) -> str:
    """SHA-256 of a file of weights, in hexadecimal; computed once as long as the file does not change."""
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns)


def usable_cores() -> int:
    """CPU cores that this process may use; OMP_NUM_THREADS, where it is set, is the most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdigit() and int(limit) else cores


def open_graph(path: Path, threads: int = 0, sizes: str | None = None) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU for a graph whose weights are those of model.safetensors beside it.

    `threads`: for one operation; 0: as many as the cores that this process may use. `sizes`: the configuration that the
    model should have, as JSON. Raises UserError when ONNX Runtime
    is not installed, or the graph or its weights are missing, damaged, or of another version.
    """
    if not has_runtime():
        raise UserError(f"reading with ONNX graphs needs ONNX Runtime: {EXTRA}")
    onnxruntime = importlib.import_module("onnxruntime")  # by name: the exported code of `hf` does not ask for it
    weights = path.parent / WEIGHTS
    for file in (path, weights):
        if not file.is_file():
            raise UserError(f"{file} is not there: write it with `python -m scripts.export --format=onnx`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    # Attention's smallest weights are so small that processors take a hundred times as long to multiply them.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own errors by how a file is broken
        raise UserError(f"{path}: damaged, or its weights in {WEIGHTS} are ({_first_line(error)})") from error
    said = session.get_modelmeta().custom_metadata_map
    if said.get("version") != VERSION:
        raise UserError(
            f"{path} is of version {said.get('version', 'unknown')}, this program reads {VERSION}: export it again"
        )
    if said.get("weights") != weights_hash(weights):
        raise UserError(
            f"{path} and {weights.name} do not belong together: one of them is damaged or of another export"
        )
    if sizes is not None and said.get("sizes") != sizes:
        raise UserError(f"{path} is of another model than config.json beside it: export it again")
    return session


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
