"""Graphs for ONNX Runtime: where they lie, how they are opened, and whether they belong to the weights beside them."""

import hashlib
import importlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from nanochat.errors import UserError
from nanochat.model_config import ModelConfig
from nanochat.threads import threads_in_use

VERSION = "2"
"""of the graphs' inputs and outputs; a graph of another one is refused"""
UNSIGNED = "0" * 64
"""checksum of a graph that has none yet"""
_BEFORE_CHECKSUM = b"\n\x08checksum\x12@"  # its entry in the metadata: key, and length of the value
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.pkl"
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


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; computed once as long as the file does not change."""
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns)


def sign(content: bytes) -> bytes:
    """A serialised graph whose metadata has a `checksum` of UNSIGNED, with its own SHA-256 there instead."""
    before, mark, after = content.rpartition(_BEFORE_CHECKSUM)
    assert mark and after.startswith(UNSIGNED.encode())
    return before + mark + hashlib.sha256(content).hexdigest().encode() + after[64:]


def is_whole(content: bytes) -> bool:
    """Whether a graph is as it was signed. ONNX Runtime would run some damaged ones, with wrong results."""
    before, mark, after = content.rpartition(_BEFORE_CHECKSUM)
    unsigned = before + mark + UNSIGNED.encode() + after[64:]
    return bool(mark) and after[:64] == hashlib.sha256(unsigned).hexdigest().encode()


class Graph:
    """An open graph: `run` as of an `onnxruntime.InferenceSession`, with as many threads as the load allows.

    Sessions have a fixed number of threads, so the graph is opened again when `threads_in_use` changes.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self.path, self.threads = path, threads
        self.session, self._opened_for = self._open()

    def run(self, outputs: list[str] | None, inputs: dict[str, Any]) -> list[Any]:
        """The graph's outputs; None: all of them."""
        return self.fitting_session().run(outputs, inputs)

    def fitting_session(self) -> Any:
        """The `onnxruntime.InferenceSession` with the number of threads that the load allows now."""
        if not self.threads and threads_in_use() != self._opened_for:
            self.session, self._opened_for = self._open()
        return self.session

    def _open(self) -> tuple[Any, int]:
        onnxruntime = importlib.import_module("onnxruntime")  # by name: the exported code of `hf` does not ask for it
        options = onnxruntime.SessionOptions()
        threads = options.intra_op_num_threads = self.threads or threads_in_use()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is raised
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave idle cores to other programs
        return onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"]), threads


def open_graph(path: Path, threads: int = 0, config: ModelConfig | None = None) -> Graph:
    """Open a graph on the CPU whose weights are those of model.safetensors in the same folder.

    `threads`: for one operation; 0: one per free core (`threads_in_use`). `config`: the configuration that the model
    should have. Raises UserError when ONNX Runtime is not installed, or the graph or its weights are missing,
    damaged, or of another version.
    """
    if not has_runtime():
        raise UserError(f"reading with ONNX graphs needs ONNX Runtime: {EXTRA}")
    weights = path.parent / WEIGHTS
    for file in (path, weights):
        if not file.is_file():
            raise UserError(f"{file} is not there: write it with `python -m scripts.export --format=onnx`")
    if not is_whole(path.read_bytes()):
        raise UserError(f"{path}: damaged, or exported by an older version: export it again")
    try:
        graph = Graph(path, threads)
    except Exception as error:  # ONNX Runtime raises its own errors by how a file is broken
        raise UserError(f"{path}: damaged, or its weights in {WEIGHTS} are ({_first_line(error)})") from error
    said = graph.session.get_modelmeta().custom_metadata_map
    if said.get("version") != VERSION:
        raise UserError(
            f"{path} is of version {said.get('version', 'unknown')}, this program reads {VERSION}: export it again"
        )
    for name, expected in (("weights", weights), ("tokenizer", path.with_name(TOKENIZER))):
        if name in said and (not expected.is_file() or said[name] != file_hash(expected)):
            raise UserError(
                f"{path} and {expected.name} do not belong together: one of them is damaged or from another export"
            )
    if config is not None and ModelConfig.from_dict(json.loads(said["sizes"])) != config:
        raise UserError(f"{path} is of another model than config.json beside it: export it again")
    return graph


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
