"""The model as ONNX graphs, for reading without torch: traced from the modules as they are.

`encoder.onnx` turns views into features, `decoder.onnx` tokens, features and a KV cache into the next logits and what
joins the cache. Their weights lie in `model.safetensors` beside them, in half precision, once for torch and for both
graphs; a graph converts them to float32 when it is loaded, and all arithmetic is float32.
"""

import json
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
import torch.nn as nn
from onnx import TensorProto, helper
from torch import Tensor

from nanochat.checkpoint import export_model
from nanochat.errors import UserError
from nanochat.files import atomic_path
from nanochat.gpt import KVCache
from nanochat.lines.network import load_finder
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.onnx_files import DECODER, ENCODER, INT8, LINES, VERSION, WEIGHTS, weights_hash
from nanochat.tokenizer import RustBPETokenizer

OPSET = 18
Sizes = dict[str, dict[int, str]]
"""names of the dimensions of inputs and outputs that may have any size"""


class _GraphCache(KVCache):
    """A KV cache inside of a graph: what rows hold already comes in, what joins them goes out."""

    def __init__(self, lengths: Tensor, k: list[Tensor], v: list[Tensor]) -> None:
        self.past, self.k, self.v = lengths, k, v  # (B,), (B, H, S, D) of each layer
        self.new: list[Tensor] = []
        """keys and values of each layer in turn, (B, H, T, D)"""

    def begin(self, n_new: int) -> Tensor:
        """The positions (B, n_new) of the new tokens."""
        rows, places, new = self.past.size(0), torch.arange(self.k[0].size(2)), torch.arange(n_new)
        held = (places < self.past[:, None])[:, None, None].expand(rows, 1, n_new, -1)
        own = (new <= new[:, None]).expand(rows, 1, -1, -1)
        self._mask = torch.cat([held, own], dim=-1)  # (B, 1, n_new, S + n_new)
        return self.past[:, None] + new

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """All keys and values, the new ones (B, n_new, H, D) last, and which of them may be attended to."""
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        self.new += [k, v]
        return torch.cat([self.k[layer], k], dim=2), torch.cat([self.v[layer], v], dim=2), self._mask

    def advance(self, n_new: int) -> None:
        """Lengths are the caller's own matter."""


class _Encoder(nn.Module):
    def __init__(self, model: NanoDeepseekOCR) -> None:
        super().__init__()
        self.model = model

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> features (N, H/64, W/64, C), and what ends a row and an image, (C,) each."""
        return self.model.encode_views(views), self.model.image_newline * 1.0, self.model.view_separator * 1.0


class _Decoder(nn.Module):
    def __init__(self, model: NanoDeepseekOCR) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, vision: Tensor, lengths: Tensor, last: Tensor, *past: Tensor) -> tuple:
        """Next logits (B, V) after token `last` (B,) of each row of `tokens` (B, T); keys and values of the new tokens.

        `vision` (N, C): features for the image tokens in order, at least one row; `lengths` (B,): how many tokens of
        `past`, each (B, H, S, D), a row holds.
        """
        gpt = self.model.gpt
        places = tokens == self.model.config.image_token_id
        which = (places.flatten().to(torch.int64).cumsum(0) - 1).clamp(min=0).view(tokens.shape)
        embeds = torch.where(places.unsqueeze(-1), vision[which], gpt.embed(tokens))  # (B, T, C)
        cache = _GraphCache(lengths, list(past[::2]), list(past[1::2]))
        hidden = gpt.hidden(embeds, cache)
        hidden = hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.size(2)))[:, 0]
        return (self.model.next_logits(hidden), *cache.new)


class _Graph:
    """A module being exported: what it is traced with, and what its inputs and outputs are called."""

    def __init__(self, module: nn.Module, example: tuple, inputs: list[str], outputs: list[str], sizes: Sizes) -> None:
        self.module, self.example, self.inputs, self.outputs, self.sizes = module, example, inputs, outputs, sizes

    def trace(self, path: Path) -> None:
        """Write the graph with all its weights, in float32."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer warns of every size that decides something
            torch.onnx.export(
                self.module, self.example, path, dynamo=False, opset_version=OPSET,
                input_names=self.inputs, output_names=self.outputs, dynamic_axes=self.sizes,
                do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,  # weights keep names and values
            )  # fmt: skip


def encoder_graph(model: NanoDeepseekOCR) -> _Graph:
    """`views` (N, 3, H, W) to `features` (N, H/64, W/64, C), `newline` and `separator` (C,)."""
    page = model.config.vision.page  # the tracer must see a view that takes a part of the tables, in both directions
    example = torch.zeros(2, 3, 64 * max(1, page // 256), 64 * max(1, page // 128 - 1))
    sizes: Sizes = {"views": {0: "n", 2: "height", 3: "width"}, "features": {0: "n", 1: "rows", 2: "columns"}}
    return _Graph(_Encoder(model), (example,), ["views"], ["features", "newline", "separator"], sizes)


def decoder_graph(model: NanoDeepseekOCR) -> _Graph:
    """The inputs of `_Decoder.forward`, its past as `k0`, `v0`, `k1` and so on; `logits`, and `new_k0` and so on."""
    gpt = model.config.gpt
    past = [f"{kind}{layer}" for layer in range(gpt.n_layer) for kind in "kv"]
    rows, new, held, image = 3, 5, 7, model.config.image_token_id
    tokens = torch.tensor([[1, image, 2, 3, 4], [1, 2, 3, image, 4], [1, 2, 3, 4, 5]])
    example = (
        tokens, torch.zeros(2, gpt.n_embd), torch.tensor([3, 7, 5]), torch.tensor([4, 2, 3]),
        *[torch.zeros(rows, gpt.n_kv_head, held, gpt.n_embd // gpt.n_head) for _ in past],
    )  # fmt: skip
    assert tokens.shape == (rows, new)
    sizes: Sizes = {"tokens": {0: "rows", 1: "new"}, "vision": {0: "n"}, "lengths": {0: "rows"}, "last": {0: "rows"}}
    sizes["logits"] = {0: "rows"}
    for name in past:
        sizes[name], sizes[f"new_{name}"] = {0: "rows", 2: "held"}, {0: "rows", 2: "new"}
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
    """Let a traced graph take its weights from a safetensors file in half precision, and convert them on loading.

    `prefix`: what the graph's names of weights have before those of the file. Weights that the file lacks stay inside.
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
    """Say what the graph belongs to: `open_graph` refuses it beside anything else."""
    helper.set_model_props(graph, {"version": VERSION, "weights": weights_hash(weights), "sizes": sizes})


def write_graph(graph: _Graph, path: Path, prefix: str = "model.", sizes: str = "") -> None:
    """Write a graph whose weights are those of `model.safetensors` beside it; `sizes`: its configuration as JSON."""
    weights = path.parent / WEIGHTS
    with tempfile.TemporaryDirectory() as folder:
        graph.trace(Path(folder) / "traced.onnx")
        traced = onnx.load(Path(folder) / "traced.onnx")
    share_weights(traced, weights, prefix)
    _describe(traced, weights, sizes)
    with atomic_path(path) as temporary:
        temporary.write_bytes(traced.SerializeToString(deterministic=True))


def write_int8(graph: _Graph, path: Path, sizes: str = "") -> None:
    """Write a graph with the weights of its matrices at 8 bits, inside of it; activations are rounded as they come."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph.trace(folder / "traced.onnx")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folder / "folded.onnx")  # weights where the quantizer looks for them
        onnxruntime.InferenceSession(folder / "traced.onnx", options, providers=["CPUExecutionProvider"])
        quantize_dynamic(
            folder / "folded.onnx", folder / "int8.onnx", op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
        small = onnx.load(folder / "int8.onnx")
    _describe(small, path.parent / WEIGHTS, sizes)
    with atomic_path(path) as temporary:
        temporary.write_bytes(small.SerializeToString(deterministic=True))


def export_onnx(
    folder: str | Path, model: NanoDeepseekOCR, tokenizer: RustBPETokenizer, meta: dict, int8: bool = False
) -> None:
    """Write a folder that is read with torch and without: weights, tokenizer, graphs, and last config.json.

    `int8`: graphs at 8 bits as well. Raises UserError for a model whose position tables are squeezed to a picture's
    size, which no graph of any size can do.
    """
    folder = Path(folder)
    if not (model.config.vision.sam.crop_positions and model.config.vision.clip.crop_positions):
        raise UserError(
            "--format=onnx is for models with crop_positions, such as nano: the views of this model have one size"
        )
    for name in (ENCODER, DECODER, *INT8.values()):
        (folder / name).unlink(missing_ok=True)  # an older model's
    export_model(folder, model, tokenizer, meta)
    model = model.cpu().float().eval()
    sizes = json.dumps(model.config.to_dict(), sort_keys=True)
    for name, graph in ((ENCODER, encoder_graph(model)), (DECODER, decoder_graph(model))):
        write_graph(graph, folder / name, sizes=sizes)
        if int8:
            write_int8(graph, folder / INT8[name], sizes)


def export_lines(folder: str | Path) -> None:
    """Write the graph of the line detector beside its weights: `folder` holds `model.safetensors`."""
    weights = Path(folder) / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{weights}: no weights of a line detector")
    write_graph(lines_graph(load_finder(weights).eval()), Path(folder) / LINES, prefix="")
