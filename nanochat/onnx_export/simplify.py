"""Reduce the number of operators of a traced graph without changing its results.

The tracer adds operators that compute every size wherever it is used: 2,800 of the 3,455 operators of nano's encoder
only compute sizes. Tensors that have equal shapes for several sizes of the input share the shape of the first one. Then
operators with equal inputs and attributes are merged.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper

from nanochat.onnx_files import import_runtime

UNLIKE = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Dropout")


def simplify(path: Path, examples: Sequence[dict[str, np.ndarray]]) -> None:
    """Rewrite a graph in place.

    `examples`: inputs of different sizes. Without them, only equal operators are merged.
    """
    model = onnx.load(path)
    if examples:
        _share_shapes(model, examples)
    _share_repeated(model)
    _drop_unused(model)
    onnx.save(model, path)


def _share_shapes(model: onnx.ModelProto, examples: Sequence[dict[str, np.ndarray]]) -> None:
    """Make every operator that reads a shape read that of the first tensor with this shape."""
    onnxruntime = import_runtime()
    asked = [node for node in model.graph.node if node.op_type == "Shape"]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    outputs = [node.output[0] for node in asked]
    probe.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None) for name in outputs)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.onnx"
        onnx.save(probe, file)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        found = [session.run(outputs, example) for example in examples]
    first: dict[tuple, str] = {}
    for node, shapes in zip(asked, zip(*found)):
        node.input[0] = first.setdefault(
            (_attributes(node), *(tuple(shape.tolist()) for shape in shapes)), node.input[0]
        )


def _attributes(node: NodeProto) -> tuple[bytes, ...]:
    """The attributes of an operator in which equal operators must agree, without the names of constants."""
    found = []
    for attribute in node.attribute:
        own = onnx.AttributeProto()
        own.CopyFrom(attribute)
        own.t.ClearField("name")
        found.append(own.SerializeToString(deterministic=True))
    return tuple(sorted(found))


def _key(node: NodeProto) -> tuple:
    return node.domain, node.op_type, tuple(node.input), len(node.output), _attributes(node)


def _share_repeated(model: onnx.ModelProto) -> None:
    """Merge operators with equal inputs and attributes."""
    first: dict[tuple, NodeProto] = {}
    names: dict[str, str] = {}
    kept: list[NodeProto] = []
    outputs = {output.name for output in model.graph.output}
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
        same = first.setdefault(_key(node), node) if node.op_type not in UNLIKE else node
        if same is node or outputs & set(node.output):
            kept.append(node)
        else:
            names.update(zip(node.output, same.output))
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove operators whose results are not used."""
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(NodeProto.FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
