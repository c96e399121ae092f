"""Export the model as ONNX graphs, for inference without torch. The graphs are traced from the modules.

`encoder.onnx` computes features from views. `decoder.onnx` computes the next logits and the new entries of the KV cache
from tokens, features and the cache. The weights of both graphs are in `model.safetensors` in the same folder, in half
precision, and torch loads the same file. A graph converts them to float32 on loading, and computes in float32.
"""

import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import Tensor

from nanochat.checkpoint import export_model
from nanochat.errors import UserError
from nanochat.files import atomic_path
from nanochat.gpt import GPT, Attention, norm
from nanochat.lines.network import load_finder
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.onnx_export.simplify import simplify
from nanochat.onnx_files import (
    DECODER,
    ENCODER,
    INT8,
    LINES,
    TOKENIZER,
    UNSIGNED,
    VERSION,
    WEIGHTS,
    file_hash,
    import_runtime,
    sign,
)
from nanochat.tokenizer import RustBPETokenizer

OPSET = 18
PROBES = (1, 1, 1), (2, 1, 3), (3, 3, 1), (5, 2, 1), (2, 5, 3), (1, 4, 7), (3, 1, 2), (1, 6, 5), (2, 2, 2), (1, 1, 8)
"""(views, rows of tokens, columns of tokens) of the inputs from which `simplify` learns constant shapes"""
Sizes = dict[str, dict[int, str]]
"""names of the dynamic dimensions of inputs and outputs"""


class _Reshape(torch.autograd.Function):
    """Reshape `x` to a constant shape, in which 0 keeps a dimension and -1 is inferred.

    It becomes a single operator. The tracer would add operators that compute the sizes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *shape: int) -> Tensor:
        return x.reshape([x.size(i) if n == 0 else n for i, n in enumerate(shape)])

    @staticmethod
    def symbolic(g: Any, x: Any, *shape: int) -> Any:
        return g.op("Reshape", x, g.op("Constant", value_t=torch.tensor(shape)))


class _RotaryTables(torch.autograd.Function):
    """Cosines and sines of all positions (reach, D/2), from frequencies (D/2,) and `reach`.

    The graph computes them once, on loading. Stored in the file, they would be larger than everything else in it.
    """

    @staticmethod
    def forward(ctx: Any, frequencies: Tensor, reach: int) -> tuple:
        return torch.zeros(reach, len(frequencies)), torch.zeros(reach, len(frequencies))  # shapes for the tracer

    @staticmethod
    def symbolic(g: Any, frequencies: Any, reach: int) -> tuple:
        start, stop, step = (g.op("Constant", value_t=torch.tensor(float(x))) for x in (0, reach, 1))
        column = g.op("Constant", value_t=torch.tensor([1]))
        positions = g.op("Unsqueeze", g.op("Range", start, stop, step), column)
        angles = g.op("Mul", positions, frequencies)
        return g.op("Cos", angles), g.op("Sin", angles)


class _GroupQueryAttention(torch.autograd.Function):
    """ONNX Runtime's operator of this name: rotary embeddings, KV cache and attention in one.

    Takes q (B, T, H D), k and v (B, T, H_kv D), the cache's keys and values (B, H_kv, S, D), the index of each row's
    last token (B,) and the length of the longest row, both int32, the tables of cosines and sines, and the numbers of
    heads and their width. Returns the result of attention (B, T, H D), and the cache's keys and values including the
    new tokens. If the caller binds the outputs to the memory of the inputs, only the new tokens are written.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, past_k: Tensor, past_v: Tensor, *rest: Any) -> tuple:
        return torch.zeros_like(q), past_k.clone(), past_v.clone()  # shapes for the tracer

    @staticmethod
    def symbolic(g: Any, q: Any, k: Any, v: Any, past_k: Any, past_v: Any, *rest: Any) -> tuple:
        *tensors, n_head, n_kv_head, head_dim = rest
        found = g.op(
            "com.microsoft::GroupQueryAttention", q, k, v, past_k, past_v, *tensors,
            num_heads_i=n_head, kv_num_heads_i=n_kv_head, do_rotary_i=1, outputs=3,
        )  # fmt: skip
        sizes = [[None, None, n_head * head_dim], *[[None, n_kv_head, None, head_dim]] * 2]  # not those of the example
        for value, its in zip(found, sizes):
            value.setType(past_k.type().with_sizes(its))
        return tuple(found)


class _GraphCache:
    """Replaces `KVCache` while a graph is traced: the cache of the graph, and tensors that its layers share."""

    def __init__(self, lengths: Tensor, n_new: Tensor | int, gpt: GPT, past: Sequence[Tensor]) -> None:
        total = lengths + n_new  # (B,)
        self.last, self.longest = (total - 1).to(torch.int32), total.max().to(torch.int32)
        self.cos, self.sin = _RotaryTables.apply(-gpt.frequencies(), gpt.config.reach)  # it rotates the other way
        self.k, self.v = past[::2], past[1::2]  # (B, H, S, D) of each layer
        self.new: list[Tensor] = []
        """keys and values of each layer in turn, including the new tokens"""

    def begin(self, n_new: int) -> Tensor:
        """Does nothing: the operator computes the positions of the new tokens."""
        return torch.zeros(1)

    def attend(self, layer: Attention, x: Tensor) -> Tensor:
        """Attention of one layer: (B, T, C) -> (B, T, C)."""
        weight = torch.cat([layer.c_q.weight, layer.c_k.weight, layer.c_v.weight])
        n_head, n_kv_head, D = layer.n_head, layer.n_kv_head, layer.head_dim
        qk, v = F.linear(x, weight).split([(n_head + n_kv_head) * D, n_kv_head * D], dim=-1)
        # The norm is applied before the rotation, which does not change the length of a vector.
        heads = norm(_Reshape.apply(qk, 0, -1, n_head + n_kv_head, D))
        qk = _Reshape.apply(heads, 0, -1, (n_head + n_kv_head) * D)
        q, k = qk.split([n_head * D, n_kv_head * D], dim=-1)
        y, *new = _GroupQueryAttention.apply(
            q, k, v, self.k[layer.layer], self.v[layer.layer], self.last, self.longest, self.cos, self.sin,
            n_head, n_kv_head, D,
        )  # fmt: skip
        self.new += new
        return y

    def advance(self, n_new: int) -> None:
        """Does nothing: the caller keeps the lengths."""


class _Encoder(nn.Module):
    def __init__(self, model: NanoDeepseekOCR) -> None:
        super().__init__()
        self.model = model

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> features (N, H/64, W/64, C), and the embeddings that end a row and an image, (C,) each."""
        return self.model.encode_views(views), self.model.image_newline * 1.0, self.model.view_separator * 1.0


class _Decoder(nn.Module):
    def __init__(self, model: NanoDeepseekOCR) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, vision: Tensor, lengths: Tensor, last: Tensor, *past: Tensor) -> tuple:
        """The next logits (B, V) of each row of `tokens` (B, T), and the cache including the new tokens.

        `last` (B,): index of the last token of each row among all tokens, counted row by row.
        `vision` (N, C): features for the image tokens in order, at least one row.
        `past`: keys and values, each (B, H, S, D), where S has room for the new tokens.
        `lengths` (B,): number of tokens that each row of `past` holds.
        """
        gpt = self.model.gpt
        places = tokens == self.model.config.image_token_id
        which = (places.flatten().to(torch.int64).cumsum(0) - 1).clamp(min=0).view(tokens.shape)
        embeds = torch.where(places.unsqueeze(-1), vision[which], gpt.embed(tokens))  # (B, T, C)
        cache = _GraphCache(lengths, tokens.size(1), gpt, past)
        hidden = gpt.hidden(embeds, cache, at=last)  # type: ignore[arg-type]
        return (self.model.next_logits(hidden), *cache.new)


class _Graph:
    """A module to export: example inputs for tracing, and the names of its inputs and outputs."""

    def __init__(
        self,
        module: nn.Module,
        example: tuple,
        inputs: list[str],
        outputs: list[str],
        sizes: Sizes,
        more_examples: Sequence[dict[str, np.ndarray]] = (),
    ) -> None:
        self.module, self.example, self.inputs, self.outputs, self.sizes = module, example, inputs, outputs, sizes
        self.more_examples = more_examples
        """inputs of other sizes, from which `simplify` learns which shapes are constant"""

    def trace(self, path: Path) -> None:
        """Write the graph with all its weights, in float32."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer warns about every size in a condition
            torch.onnx.export(
                self.module, self.example, path, dynamo=False, opset_version=OPSET,
                input_names=self.inputs, output_names=self.outputs, dynamic_axes=self.sizes,
                do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,  # keeps the weights
            )  # fmt: skip
        simplify(path, self.more_examples)


def encoder_graph(model: NanoDeepseekOCR) -> _Graph:
    """`views` (N, 3, H, W) to `features` (N, H/64, W/64, C), `newline` and `separator` (C,)."""
    page = model.config.vision.page  # the example must be smaller than the position tables in both directions
    example = torch.zeros(2, 3, 64 * max(1, page // 256), 64 * max(1, page // 128 - 1))
    sizes: Sizes = {"views": {0: "n", 2: "height", 3: "width"}, "features": {0: "n", 1: "rows", 2: "columns"}}
    shapes = [(n, 3, 64 * h, 64 * w) for n, h, w in PROBES if max(h, w) * 64 <= page]
    more = [{"views": np.zeros(shape, np.float32)} for shape in shapes]
    return _Graph(_Encoder(model), (example,), ["views"], ["features", "newline", "separator"], sizes, more)


def decoder_graph(model: NanoDeepseekOCR) -> _Graph:
    """Inputs as in `_Decoder.forward`, with the past as `k0`, `v0`, `k1`, ...; outputs `logits`, `new_k0`, ..."""
    gpt = model.config.gpt
    past = [f"{kind}{layer}" for layer in range(gpt.n_layer) for kind in "kv"]
    rows, new, room, image = 3, 5, 12, model.config.image_token_id
    tokens = torch.tensor([[1, image, 2, 3, 4], [1, 2, 3, image, 4], [1, 2, 3, 4, 5]])
    example = (
        tokens, torch.zeros(2, gpt.n_embd), torch.tensor([3, 7, 5]), torch.tensor([4, 7, 13]),
        *[torch.zeros(rows, gpt.n_kv_head, room, gpt.n_embd // gpt.n_head) for _ in past],
    )  # fmt: skip
    assert tokens.shape == (rows, new)
    sizes: Sizes = {"tokens": {0: "rows", 1: "new"}, "vision": {0: "n"}, "lengths": {0: "rows"}, "last": {0: "rows"}}
    sizes["logits"] = {0: "rows"}
    for name in past:
        sizes[name], sizes[f"new_{name}"] = {0: "rows", 2: "room"}, {0: "rows", 2: "room"}
    outputs = ["logits", *[f"new_{name}" for name in past]]
    return _Graph(_Decoder(model), example, ["tokens", "vision", "lengths", "last", *past], outputs, sizes)


def lines_graph(model: nn.Module) -> _Graph:
    """`picture` (1, 3, H, W) to `core` and `height`, (1, H/4, W/4) each, as in `LineFinder.forward`."""
    sizes: Sizes = {name: {0: "n", 1: "rows", 2: "columns"} for name in ("core", "height")}
    sizes["picture"] = {0: "n", 2: "height", 3: "width"}
    return _Graph(model, (torch.zeros(1, 3, 64, 96),), ["picture"], ["core", "height"], sizes)


def _offsets(weights: Path) -> dict[str, tuple[str, int, int]]:
    """dtype, first byte and number of bytes of each tensor of a safetensors file."""
    with open(weights, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    return {
        name: (entry["dtype"], 8 + size + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def share_weights(graph: onnx.ModelProto, weights: Path, prefix: str) -> None:
    """Make a traced graph load its weights from a safetensors file in half precision and convert them on loading.

    `prefix`: prefix of the weights' names in the graph, compared with the file. Weights that the file does not contain
    stay in the graph.
    """
    known = _offsets(weights)
    casts = []
    for tensor in graph.graph.initializer:
        dtype, first, size = known.get(tensor.name.removeprefix(prefix), ("", 0, 0))
        if tensor.data_type != TensorProto.FLOAT or dtype != "F16":
            continue
        half = TensorProto(
            name=f"{tensor.name}.half",
            data_type=TensorProto.FLOAT16,
            dims=tensor.dims,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (("location", weights.name), ("offset", str(first)), ("length", str(size))):
            half.external_data.add(key=key, value=value)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(half)
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def _describe(graph: onnx.ModelProto, weights: Path, sizes: str) -> None:
    """Record in a graph which files it belongs to. `open_graph` rejects it with other files."""
    said = {"version": VERSION, "weights": file_hash(weights), "sizes": sizes}
    tokenizer = weights.with_name(TOKENIZER)
    if tokenizer.is_file():  # the line detector has no tokenizer
        said["tokenizer"] = file_hash(tokenizer)
    helper.set_model_props(graph, {**said, "checksum": UNSIGNED})


def _write(graph: onnx.ModelProto, path: Path) -> None:
    """Write a graph with its metadata and checksum."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(sign(graph.SerializeToString(deterministic=True)))


def write_graph(graph: _Graph, path: Path, prefix: str = "model.", sizes: str = "") -> None:
    """Write a graph with weights in `model.safetensors` in the same folder. `sizes`: its configuration as JSON."""
    weights = path.parent / WEIGHTS
    with tempfile.TemporaryDirectory() as folder:
        graph.trace(Path(folder) / "traced.onnx")
        traced = onnx.load(Path(folder) / "traced.onnx")
    share_weights(traced, weights, prefix)
    _describe(traced, weights, sizes)
    _write(traced, path)


def write_int8(graph: _Graph, path: Path, sizes: str) -> None:
    """Write a graph that contains its matrices in 8 bits. Activations are quantized dynamically."""
    onnxruntime = import_runtime()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph.trace(folder / "traced.onnx")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folder / "folded.onnx")  # where the quantizer expects weights
        onnxruntime.InferenceSession(folder / "traced.onnx", options, providers=["CPUExecutionProvider"])
        quantize_dynamic(
            folder / "folded.onnx", folder / "int8.onnx", op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
        small = onnx.load(folder / "int8.onnx")
    _describe(small, path.parent / WEIGHTS, sizes)
    _write(small, path)


def export_onnx(
    folder: str | Path, model: NanoDeepseekOCR, tokenizer: RustBPETokenizer, meta: dict, int8: bool = False
) -> None:
    """Write a folder that can be loaded with or without torch: weights, tokenizer, graphs and finally config.json.

    `int8`: also write graphs with 8-bit weights. Raises UserError for a model whose position tables are interpolated to
    the image size, which a graph for all sizes cannot do, or whose head width ONNX Runtime does not support.
    """
    folder = Path(folder)
    if not (model.config.vision.sam.crop_positions and model.config.vision.clip.crop_positions):
        raise UserError(
            "--format=onnx is for models with crop_positions, such as nano; the views of this model have one size"
        )
    head_dim = model.config.gpt.n_embd // model.config.gpt.n_head
    if head_dim % 16:
        raise UserError(f"the heads of this model are {head_dim} wide, but ONNX Runtime supports multiples of 16 only")
    for name in (ENCODER, DECODER, *INT8.values()):
        (folder / name).unlink(missing_ok=True)  # of an older export
    export_model(folder, model, tokenizer, meta)
    model = model.cpu().float().eval()
    sizes = json.dumps(model.config.to_dict(), sort_keys=True)
    for name, graph in ((ENCODER, encoder_graph(model)), (DECODER, decoder_graph(model))):
        write_graph(graph, folder / name, sizes=sizes)
        if int8:
            write_int8(graph, folder / INT8[name], sizes)


def export_lines(folder: str | Path) -> None:
    """Write the graph of the line detector into `folder`, which holds its weights, `model.safetensors`."""
    weights = Path(folder) / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{weights}: not the weights of a line detector")
    write_graph(lines_graph(load_finder(weights).eval()), Path(folder) / LINES, prefix="")
