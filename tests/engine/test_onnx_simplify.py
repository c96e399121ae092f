"""A simplified graph computes the same at every size, with fewer operators."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from nanochat.onnx_export.simplify import simplify


def rows_and_columns(folder: Path) -> Path:
    """(H, W) -> (2, H, W) filled with H + W in part 0 and with H + H in part 1; every size is computed anew."""
    nodes, sums = [], []
    for i, axes in enumerate(((0, 1), (0, 0))):
        nodes.append(helper.make_node("Relu", ["x"], [f"y{i}"]))
        for j, axis in enumerate(axes):
            nodes.append(helper.make_node("Shape", [f"y{i}"], [f"shape{i}{j}"]))
            index = helper.make_tensor(f"axis{i}{j}", TensorProto.INT64, [], [axis])
            nodes.append(helper.make_node("Constant", [], [f"axis{i}{j}"], value=index))
            nodes.append(helper.make_node("Gather", [f"shape{i}{j}", f"axis{i}{j}"], [f"size{i}{j}"]))
        nodes.append(helper.make_node("Add", [f"size{i}0", f"size{i}1"], [f"sum{i}"]))
        nodes.append(helper.make_node("Cast", [f"sum{i}"], [f"float{i}"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", ["ones", f"float{i}"], [f"filled{i}"]))
        sums.append(f"filled{i}")
    nodes.insert(0, helper.make_node("Div", ["x", "x"], ["ones"]))
    nodes.append(helper.make_node("SequenceConstruct", sums, ["both"]))
    nodes.append(helper.make_node("ConcatFromSequence", ["both"], ["out"], axis=0, new_axis=1))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["h", "w"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [2, "h", "w"])
    model = helper.make_model(
        helper.make_graph(nodes, "sizes", [x], [out]), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    onnx.save(model, folder / "graph.onnx")
    return folder / "graph.onnx"


@pytest.mark.parametrize("examples", [[(2, 2), (3, 2), (2, 5)], []])
def test_simplified_graph_is_right_at_every_size_with_fewer_operators(
    tmp_path: Path, examples: list[tuple[int, int]]
) -> None:
    path = rows_and_columns(tmp_path)
    before = len(onnx.load(path).graph.node)
    simplify(path, [{"x": np.ones(size, np.float32)} for size in examples])
    after = len(onnx.load(path).graph.node)
    assert after <= before - 6
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for h, w in ((2, 2), (4, 9), (7, 1)):
        (found,) = session.run(None, {"x": np.ones((h, w), np.float32)})
        assert (found[0] == h + w).all() and (found[1] == h + h).all()


def test_random_operators_are_not_merged(tmp_path: Path) -> None:
    nodes = [helper.make_node("RandomNormal", [], [name], shape=[64]) for name in "ab"]
    nodes.append(helper.make_node("Sub", ["a", "b"], ["out"]))
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [64])
    model = helper.make_model(
        helper.make_graph(nodes, "random", [], [out]), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    onnx.save(model, tmp_path / "graph.onnx")
    simplify(tmp_path / "graph.onnx", [])
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    assert np.abs(session.run(None, {})[0]).max() > 0
