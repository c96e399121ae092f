"""Graphs for ONNX Runtime: file names, loading, and checks that they belong to the weights in the same folder."""

import hashlib
import importlib
import importlib.util
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nanochat.denormals import can_flush, flush_denormals
from nanochat.errors import UserError
from nanochat.model_config import ModelConfig
from nanochat.threads import graph_threads

VERSION = "2"
"""version of the graphs' inputs and outputs; graphs of another version are rejected"""
UNSIGNED = "0" * 64
"""placeholder for the checksum of a graph that is not signed yet"""
_BEFORE_CHECKSUM = b"\n\x08checksum\x12@"  # the metadata entry: its key, and the length of the value
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.pkl"
ENCODER, DECODER, LINES = "encoder.onnx", "decoder.onnx", "model.onnx"
INT8 = {ENCODER: "encoder.int8.onnx", DECODER: "decoder.int8.onnx"}
BackendName = Literal["auto", "torch", "onnx"]
"""packages that run the model"""
EXTRA = "run `pip install onnxruntime`"
TORCH_EXTRA = 'run `pip install "nano-deepseek-ocr[torch]"`'


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # raised if an import hook blocks it
        return False


def has_runtime() -> bool:
    """Whether ONNX Runtime is installed."""
    return _is_installed("onnxruntime")


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return _is_installed("torch")


def has_graphs(folder: Path) -> bool:
    """Whether a model folder contains both graphs that inference needs."""
    return all((folder / name).is_file() for name in (ENCODER, DECODER))


@cache
def _hash(path: Path, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, cached until the file changes."""
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns)


def sign(content: bytes) -> bytes:
    """Replace the checksum UNSIGNED in the metadata of a serialised graph by the SHA-256 of the graph."""
    before, mark, after = content.rpartition(_BEFORE_CHECKSUM)
    assert mark and after.startswith(UNSIGNED.encode())
    return before + mark + hashlib.sha256(content).hexdigest().encode() + after[64:]


def is_whole(content: bytes) -> bool:
    """Whether the checksum of a graph is right. ONNX Runtime would run some damaged graphs, with wrong results."""
    before, mark, after = content.rpartition(_BEFORE_CHECKSUM)
    unsigned = before + mark + UNSIGNED.encode() + after[64:]
    return bool(mark) and after[:64] == hashlib.sha256(unsigned).hexdigest().encode()


def _said(content: bytes, key: str) -> str:
    """The value of a metadata entry of a serialised graph, of fewer than 128 bytes; empty if there is none."""
    mark = b"\n" + bytes([len(key)]) + key.encode() + b"\x12"
    _, found, after = content.rpartition(mark)
    return after[1 : 1 + after[0]].decode(errors="replace") if found and after else ""


def check_weights(graph: Path) -> None:
    """Check a graph, and that it was exported with the weights and the tokenizer in the same folder.

    Raises UserError if one of these files is missing, damaged, or of another version or export.
    """
    weights = graph.parent / WEIGHTS
    for file in (graph, weights):
        if not file.is_file():
            raise UserError(f"{file} is not there: write it with `python -m scripts.export --format=onnx`")
    content = graph.read_bytes()
    if not is_whole(content):
        raise UserError(f"{graph}: damaged, or exported by an older version: export it again")
    version = _said(content, "version")
    if version != VERSION:
        raise UserError(f"{graph} is of version {version or 'unknown'}, this program reads {VERSION}: export it again")
    for name, file in (("weights", weights), ("tokenizer", graph.with_name(TOKENIZER))):
        expected = _said(content, name)
        if expected and not file.is_file():
            raise UserError(f"{file} is not there: it belongs to {graph.name}")
        if expected and expected != file_hash(file):
            raise UserError(
                f"{graph} and {file.name} do not belong together: one of them is damaged or from another export"
            )


def import_runtime() -> Any:
    """The module `onnxruntime`, with its telemetry off. Raises ImportError if it is not installed.

    Unless ORT_DISABLE_TELEMETRY is set when it is first imported, version 1.32 records what it runs, the machine and
    errors in the user's cache folder, to be sent to its vendor.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    return importlib.import_module("onnxruntime")  # by name, so that the exported code of `hf` does not depend on it


@cache
def _share_memory() -> bool:
    """Let all graphs of this process take their memory from one pool, which grows by no more than what is requested.

    Otherwise each graph has a pool of its own, which doubles when it grows. Returns False if the program that uses this
    package has set up a pool of its own, which is then used.
    """
    onnxruntime = import_runtime()
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    as_requested = {"arena_extend_strategy": 1}
    try:
        onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg(as_requested))
    except Exception:  # ONNX Runtime raises errors of its own
        return False
    return True


def _open(path: Path) -> Any:
    onnxruntime = import_runtime()
    _share_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = graph_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave idle cores to other programs
    if can_flush():  # in the session's own threads; the first session would change this one too, and for good
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    with flush_denormals():
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Graph:
    """An open graph. While it runs, denormals count as zero."""

    session: Any
    """the `onnxruntime.InferenceSession`"""

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs for these inputs."""
        with flush_denormals():
            return self.session.run(None, inputs)

    def run_bound(self, binding: Any) -> None:
        """Run with inputs and outputs that are bound to memory by `session.io_binding()`."""
        with flush_denormals():
            self.session.run_with_iobinding(binding)


def open_graph(path: Path, config: ModelConfig | None = None) -> Graph:
    """Open a graph on the CPU, with the weights in model.safetensors in the same folder.

    `config`: the expected configuration of the model. Raises UserError if ONNX Runtime is not installed, or if the
    graph or its weights are missing, damaged, or of another version.
    """
    if not has_runtime():
        raise UserError(f"reading with ONNX graphs needs ONNX Runtime: {EXTRA}")
    check_weights(path)
    try:
        session = _open(path)
    except Exception as error:  # ONNX Runtime raises various errors of its own for broken files
        raise UserError(f"{path}: damaged, or its weights in {WEIGHTS} are ({_first_line(error)})") from error
    said = session.get_modelmeta().custom_metadata_map
    if config is not None and ModelConfig.from_dict(json.loads(said["sizes"])) != config:
        raise UserError(f"{path} is of another model than config.json beside it: export it again")
    return Graph(session)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
