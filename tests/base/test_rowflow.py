"""Which operators keep rows apart and which mix them: each claim beside what ONNX Runtime computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.values import FREE, Lost, Rows
from modeldyno.base.rowflow.walk import judge_joined
from tests.base.graphs_of_rows import Draw, graph_of, grow, holds, state_of
from tests.compiler.models import constant, model, node, tensor

WEIGHTS = np.random.default_rng(0)
VALUES: dict[str, Any] = {
    "w44": WEIGHTS.normal(size=(4, 4)).astype("f4"),
    "w33": WEIGHTS.normal(size=(3, 3)).astype("f4"),
    "v4": WEIGHTS.normal(size=4).astype("f4"),
    "v3": WEIGHTS.normal(size=3).astype("f4"),
    "ones3": np.ones(3, "f4"),
    "zero": np.float32(0),
    "scalar": np.float32(2),
    "byte": np.uint8(3),
    "k1": WEIGHTS.normal(size=(2, 3, 1)).astype("f4"),
    "k41": WEIGHTS.normal(size=(2, 4, 1)).astype("f4"),
    "k43": WEIGHTS.normal(size=(2, 4, 3)).astype("f4"),
    "k3": WEIGHTS.normal(size=(2, 3, 3)).astype("f4"),
    "kt": WEIGHTS.normal(size=(3, 2, 2)).astype("f4"),
    "rw": WEIGHTS.normal(size=(1, 5, 4)).astype("f4"),
    "rr": WEIGHTS.normal(size=(1, 5, 5)).astype("f4"),
    "table": WEIGHTS.normal(size=(8, 2)).astype("f4"),
    "i0": np.array([0]),
    "i1": np.array([1]),
    "i2": np.array([2]),
    "n0": np.array(0),
    "n1": np.array(1),
    "n2": np.array(2),
    "n3": np.array(3),
    "end": np.array([1 << 40]),
    "minus1": np.array([-1]),
    "s_12": np.array([-1, 12]),
    "s_4": np.array([-1, 4]),
    "s_6": np.array([-1, 6]),
    "s_10": np.array([-1, 10]),
    "n0s": np.array([0]),
    "s_2": np.array([-1, 2]),
    "s12_": np.array([12, -1]),
    "s0_": np.array([0, -1]),
    "pad_last": np.array([0, 0, 0, 0, 0, 1]),
    "pad_front": np.array([0, 1, 0, 0, 0, 0]),
    "pad_rows": np.array([0, 0, 0, 1, 0, 0]),
    "tile_rows": np.array([2, 1, 1]),
    "tile_last": np.array([1, 1, 2]),
    "size_rows": np.array([2.0, 1, 1], "f4"),
    "size_last": np.array([1.0, 1, 2], "f4"),
    "onoff": np.array([0, 1], "f4"),
}


@dataclass(frozen=True)
class Case:
    """Nodes from `x` ([rows, 3, 4], the rows in dimension `at`) to `y`, and what becomes of the rows."""

    title: str
    nodes: list[onnx.NodeProto]
    at: int
    becomes: str
    opset: int = 18

    def model(self) -> onnx.ModelProto:
        shape: list[Any] = [3, 4]
        shape.insert(self.at, "rows")
        made = {name for each in self.nodes for name in each.output}
        read = {name for each in self.nodes for name in each.input} - {"x", ""} - made
        values = [numpy_helper.from_array(np.asarray(VALUES[name]), name) for name in sorted(read)]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self.nodes, "g", inputs, [onnx.ValueInfoProto(name="y")], values)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("ai.onnx.ml", 3)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def case(becomes: str, at: int, operator: str, inputs: str = "x", **attributes: Any) -> Case:
    """One operator; what it reads is cast where it wants another type."""
    opset = attributes.pop("opset", 18)
    outputs = attributes.pop("outputs", "y")
    title = f"{operator}-{at}-{becomes}-{'-'.join(map(str, attributes.values()))}-{inputs}"
    return Case(title, [node(operator, inputs, outputs, **attributes)], at, becomes, opset)


def chain(becomes: str, at: int, title: str, *nodes: onnx.NodeProto, opset: int = 18) -> Case:
    return Case(f"{title}-{at}-{becomes}", list(nodes), at, becomes, opset)


IDS = (node("Sign", "x", "a"), node("Abs", "a", "b"), node("Cast", "b", "ids", to=TensorProto.INT64))
FLAT = node("Flatten", "x", "f")
SAME: dict[str, Any] = {"kernel_shape": [2], "strides": [3], "auto_pad": "SAME_UPPER"}
TABLES: list[tuple[str, str, dict[str, Any]]] = [
    ("Scaler", "y", {"offset": [1.0] * 12, "scale": [2.0] * 12}),
    ("Normalizer", "y", {"norm": "L2"}),
    ("LinearRegressor", "y", {"coefficients": [0.5] * 12}),
    (
        "LinearClassifier",
        "t y",
        {
            "coefficients": [0.5, -0.5] * 12,
            "intercepts": [0.0, 0.0],
            "classlabels_ints": [0, 1],
            "post_transform": "SOFTMAX",
        },
    ),
]
REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSumExp", "SumSquare", "LogSum")
JOINED = [
    *[case("rows", 0, each) for each in ("Relu", "Tanh", "Erf", "Sign", "IsNaN", "Identity", "Softsign")],
    *[case("rows", at, "Add", "x v4") for at in (0, 1)],
    case("unclear", 2, "Add", "x v4"),
    case("rows", 1, "Mul", "x x"),
    *[case("rows", 0, f"Reduce{each}", "x i1") for each in REDUCTIONS],
    *[case("mixed", 1, f"Reduce{each}", "x i1") for each in REDUCTIONS],
    case("mixed", 0, "ReduceMax"),
    case("mixed", 0, "ReduceMax", noop_with_empty_axes=0),
    case("rows", 0, "ReduceMax", noop_with_empty_axes=1),
    *[case("rows", 2, each, axis=1) for each in ("ArgMax", "ArgMin")],
    *[case("mixed", 1, each, axis=1) for each in ("ArgMax", "ArgMin")],
    *[case("rows", 0, each, axis=1) for each in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")],
    *[case("mixed", 0, each, axis=0) for each in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")],
    case("mixed", 2, "Softmax"),
    case("mixed", 2, "Softmax", axis=1, opset=11),
    case("rows", 0, "Softmax", axis=1, opset=11),
    case("rows", 0, "LayerNormalization", "x v4"),
    case("mixed", 2, "LayerNormalization", "x v4"),
    case("rows", 0, "InstanceNormalization", "x v3 v3"),
    case("mixed", 2, "InstanceNormalization", "x v3 v3"),
    case("rows", 0, "GroupNormalization", "x ones3 v3", num_groups=3),
    case("rows", 0, "BatchNormalization", "x v3 v3 v3 ones3"),
    case("rows", 0, "MeanVarianceNormalization", axes=[1, 2]),
    case("mixed", 0, "MeanVarianceNormalization", axes=[0, 2]),
    chain("rows", 0, "LRN", node("Unsqueeze", "x i1", "u"), node("LRN", "u", "y", size=3)),
    case("mixed", 1, "LRN", size=3),
    case("rows", 0, "CumSum", "x n1"),
    case("mixed", 1, "CumSum", "x n1"),
    case("rows", 0, "TopK", "x i1", axis=1, outputs="y t"),
    case("mixed", 1, "TopK", "x i1", axis=1, outputs="y t"),
    chain(
        "mixed",
        0,
        "DynamicQuantizeLinear",
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("DequantizeLinear", "q s z", "y"),
    ),
    chain(
        "rows",
        0,
        "Quantize",
        node("QuantizeLinear", "x scalar byte", "q"),
        node("DequantizeLinear", "q scalar byte", "y"),
    ),
    case("rows", 0, "Conv", "x k3", kernel_shape=[3]),
    case("rows", 2, "Conv", "x k41", kernel_shape=[1]),
    case("mixed", 2, "Conv", "x k43", kernel_shape=[3]),
    case("rows", 0, "ConvTranspose", "x kt"),
    case("mixed", 2, "ConvTranspose", "x kt"),
    *[case("rows", 1, each, kernel_shape=[2]) for each in ("MaxPool", "AveragePool", "LpPool")],
    *[case("mixed", 2, each, kernel_shape=[2]) for each in ("MaxPool", "AveragePool", "LpPool")],
    case("rows", 0, "MaxPool", kernel_shape=[2], outputs="y places"),
    chain("mixed", 0, "MaxPool's places", node("MaxPool", "x", "t y", kernel_shape=[2])),
    *[case("rows", 0, each) for each in ("GlobalMaxPool", "GlobalAveragePool")],
    *[case("mixed", 2, each) for each in ("GlobalMaxPool", "GlobalAveragePool")],
    case("rows", 0, "MatMul", "x w44"),
    case("rows", 1, "MatMul", "x w44"),
    case("mixed", 2, "MatMul", "x w44"),
    case("mixed", 1, "MatMul", "w33 x"),
    case("rows", 2, "MatMul", "w44 x"),
    chain("rows", 0, "x @ x.T", node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "y")),
    chain("mixed", 1, "x @ x.T", node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "y")),
    case("rows", 0, "Einsum", "x w44", equation="nij,jk->nik"),
    case("rows", 0, "Einsum", "x x", equation="nij,nkj->nik"),
    case("mixed", 0, "Einsum", "x w44", equation="nij,jk->ik"),
    case("mixed", 0, "Einsum", "x x", equation="nij,mij->nm"),
    chain("rows", 0, "Gemm", node("Flatten", "x", "f", axis=2), node("Gemm", "f w44 v4", "y")),
    chain(
        "mixed",
        0,
        "Gemm with A transposed",
        node("Flatten", "x", "f", axis=2),
        node("Gemm", "f f", "y", transA=1),
    ),
    case("rows", 0, "Transpose", perm=[2, 0, 1]),
    case("rows", 0, "Reshape", "x s_12"),
    case("rows", 0, "Reshape", "x s_2"),
    case("unclear", 0, "Reshape", "x s12_"),
    case("rows", 0, "Reshape", "x s0_"),
    case("unclear", 1, "Reshape", "x s_12"),
    case("rows", 1, "Reshape", "x minus1"),
    case("rows", 0, "Flatten"),
    case("rows", 0, "Concat", "x x", axis=0),
    case("rows", 0, "Concat", "x x", axis=1),
    case("rows", 0, "Tile", "x tile_rows"),
    case("rows", 0, "Tile", "x tile_last"),
    case("rows", 0, "Split", axis=2, num_outputs=2, outputs="y t"),
    case("mixed", 0, "Split", axis=0, num_outputs=2, outputs="y t"),
    chain(
        "rows",
        0,
        "parted again",
        node("Concat", "x x", "c", axis=0),
        node("Split", "c", "y t", axis=0, num_outputs=2),
    ),
    case("rows", 0, "Slice", "x i1 end i1"),
    case("mixed", 0, "Slice", "x i1 end i0"),
    case("rows", 0, "Slice", "x i0 end i0"),
    case("mixed", 0, "Slice", "x minus1 minus1 i0 minus1"),
    case("rows", 0, "Gather", "x n1", axis=1),
    case("mixed", 0, "Gather", "x n0", axis=0),
    chain("rows", 0, "lookup", *IDS, node("Gather", "table ids", "y")),
    chain("mixed", 0, "Gather by rows", *IDS, node("Gather", "x ids", "y", axis=1)),
    chain("rows", 0, "GatherElements", *IDS, node("GatherElements", "x ids", "y", axis=1)),
    chain("unclear", 0, "GatherElements", *IDS, node("GatherElements", "x ids", "y", axis=0)),
    chain(
        "rows", 0, "ScatterElements", *IDS, node("ScatterElements", "x ids x", "y", axis=2, reduction="add")
    ),
    case("rows", 0, "Pad", "x pad_last"),
    case("mixed", 0, "Pad", "x pad_rows"),
    chain("rows", 0, "Resize", helper.make_node("Resize", ["x", "", "size_last"], ["y"])),
    chain("unclear", 0, "Resize", helper.make_node("Resize", ["x", "", "size_rows"], ["y"])),
    chain("rows", 0, "OneHot", *IDS, node("OneHot", "ids i2 onoff", "y", axis=0)),
    case("rows", 0, "Trilu"),
    case("unclear", 1, "Trilu"),
    case("rows", 1, "LSTM", "x rw2 rr2", hidden_size=5),
    case("mixed", 0, "LSTM", "x rw2 rr2", hidden_size=5),
    case("rows", 1, "RNN", "x rw rr", hidden_size=5),
    case("mixed", 0, "RNN", "x rw rr", hidden_size=5),
    case("unclear", 0, "NonZero"),
    case("mixed", 0, "Unique"),
    case("unclear", 0, "RandomNormalLike"),
    *[
        chain(
            "rows",
            0,
            operator,
            node("Flatten", "x", "f"),
            node(operator, "f", outputs, domain="ai.onnx.ml", **more),
        )
        for operator, outputs, more in TABLES
    ],
    case("mixed", 0, "GRU", "x rw3 rr3", hidden_size=5),
    case("rows", 1, "GRU", "x rw3 rr3", hidden_size=5, outputs="t y"),
    chain(
        "rows",
        0,
        "GridSample",
        node("Unsqueeze", "x i1", "u"),
        node("Slice", "x n0s i2 i2", "g0"),
        node("Unsqueeze", "g0 i1", "g"),
        node("GridSample", "u g", "y"),
    ),
    chain(
        "rows",
        0,
        "ConvTranspose then a constant",
        node("ConvTranspose", "x kt", "c"),
        node("Reshape", "c s_10", "y"),
    ),
    chain(
        "unclear",
        0,
        "a constant of another size",
        node("ConvTranspose", "x kt", "c"),
        node("Reshape", "c s_4", "y"),
    ),
    chain(
        "rows",
        0,
        "SAME",
        node("MaxPool", "x", "c", kernel_shape=[2], strides=[3], auto_pad="SAME_UPPER"),
        node("Reshape", "c s_6", "y"),
    ),
    chain(
        "mixed",
        0,
        "number of rows",
        node("Shape", "x", "s"),
        node("Gather", "s n0", "n"),
        node("Cast", "n", "f", to=TensorProto.FLOAT),
        node("Mul", "x f", "y"),
    ),
    chain(
        "unclear",
        0,
        "arange of rows",
        node("Shape", "x", "s"),
        node("Gather", "s n0", "n"),
        node("Range", "n0 n n1", "y"),
    ),
    chain(
        "rows",
        0,
        "x[arange(rows), 1]",
        node("Shape", "x", "s"),
        node("Gather", "s n0", "n"),
        node("Range", "n0 n n1", "r"),
        node("Unsqueeze", "r minus1", "u"),
        node("ReduceMax", "x i2", "m", keepdims=0),
        node("ArgMax", "m", "best", axis=1, keepdims=1),
        node("Concat", "u best", "at", axis=-1),
        node("GatherND", "x at", "y"),
    ),
    *[
        chain(
            becomes,
            0,
            f"rows one behind another, {places} places each",
            node("Shape", "x", "s"),
            node("Gather", "s n0", "n"),
            node("Range", "n0 n n1", "r"),
            node("Mul", f"r {places}", "begins"),
            node("ReduceMax", "x i2", "m", keepdims=0),
            node("ArgMax", "m", "best", axis=1, keepdims=0),
            node("Add", "best begins", "at"),
            node("Flatten", "x", "flat", axis=2),
            node("Gather", "flat at", "y"),
        )
        for becomes, places in (("rows", "n3"), ("unclear", "n2"))
    ],
    chain(
        "rows",
        0,
        "expanded",
        node("Shape", "x", "s"),
        node("Expand", "shape4f s", "e"),
        node("Add", "x e", "y"),
    ),
    chain(
        "rows",
        0,
        "reshaped by its own shape",
        node("Shape", "x", "s"),
        node("Gather", "s i0", "n"),
        node("Concat", "n minus1", "t", axis=0),
        node("Reshape", "x t", "y"),
    ),
]
VALUES["rw2"], VALUES["rr2"] = np.tile(VALUES["rw"], (1, 4, 1)), np.tile(VALUES["rr"], (1, 4, 1))
VALUES["shape4f"] = np.ones((1, 3, 1), "f4")


def word(state: Any) -> str:
    if isinstance(state, Lost):
        return "mixed" if state.certain else "unclear"
    return "rows" if isinstance(state, Rows) else "free" if state is FREE else "counted"


@pytest.mark.parametrize("each", JOINED, ids=lambda each: each.title)
def test_what_an_operator_does_with_joined_rows(each: Case) -> None:
    made = each.model()
    state = state_of(made, each.at, Mode.JOIN)
    assert word(state) == each.becomes, state
    if each.becomes in ("rows", "free"):
        assert holds(made, each.at, Mode.JOIN, 0)


PADDED = [
    case("rows", 0, "Relu"),
    case("rows", 1, "MatMul", "x w44"),
    case("free", 1, "ReduceSum", "x i1"),
    case("free", 1, "ReduceL2", "x i1"),
    *[case("mixed", 1, f"Reduce{each}", "x i1") for each in ("Mean", "Max", "Min", "Prod", "LogSumExp")],
    chain("free", 1, "largest of no negative", node("Relu", "x", "r"), node("ReduceMax", "r i1", "y")),
    chain("mixed", 1, "least of no negative", node("Relu", "x", "r"), node("ReduceMin", "r i1", "y")),
    chain("free", 1, "sum of squares", node("Pow", "x scalar", "s"), node("ReduceSum", "s i1", "y")),
    chain("free", 1, "largest square", node("Pow", "x scalar", "s"), node("ReduceMax", "s i1", "y")),
    chain(
        "free", 1, "largest of clipped", node("Clip", "x zero scalar", "s"), node("ReduceMax", "s i1", "y")
    ),
    chain("mixed", 1, "largest of raised", node("Clip", "x scalar", "s"), node("ReduceMin", "s i1", "y")),
    chain("free", 1, "sum of products", node("MatMul", "x w44", "s"), node("ReduceSum", "s i1", "y")),
    chain("free", 1, "sum of shares", node("Div", "x scalar", "s"), node("ReduceSum", "s i1", "y")),
    chain("unclear", 1, "sum of shifted", node("Add", "x scalar", "s"), node("ReduceSum", "s i1", "y")),
    *[case("mixed", 1, each, axis=1) for each in ("ArgMax", "ArgMin", "Softmax", "LogSoftmax", "Hardmax")],
    chain("free", 1, "ArgMax of no negative", node("Abs", "x", "r"), node("ArgMax", "r", "y", axis=1)),
    chain(
        "mixed",
        1,
        "last ArgMax",
        node("Abs", "x", "r"),
        node("ArgMax", "r", "y", axis=1, select_last_index=1),
    ),
    case("rows", 1, "LpNormalization", axis=1),
    case("mixed", 1, "TopK", "x i1", axis=1, outputs="y t"),
    case("rows", 1, "CumSum", "x n1"),
    case("rows", 1, "CumSum", "x n1", reverse=1),
    chain(
        "unclear", 1, "sums from behind", node("Add", "x scalar", "s"), node("CumSum", "s n1", "y", reverse=1)
    ),
    case("rows", 1, "Trilu"),
    chain("unclear", 1, "Trilu of several sets", node("Flatten", "x", "f", axis=2), node("Trilu", "f", "y")),
    case("mixed", 2, "InstanceNormalization", "x v3 v3"),
    case("mixed", 2, "GlobalMaxPool"),
    case("mixed", 2, "GlobalAveragePool"),
    chain("free", 2, "GlobalMaxPool of no negative", node("Relu", "x", "r"), node("GlobalMaxPool", "r", "y")),
    case("rows", 2, "Conv", "x k43", kernel_shape=[3], pads=[1, 1]),
    chain(
        "unclear",
        2,
        "convolution of shifted",
        node("Add", "x scalar", "s"),
        node("Conv", "s k43", "y", kernel_shape=[3], pads=[1, 1]),
    ),
    case("rows", 2, "MaxPool", kernel_shape=[2]),
    case("mixed", 2, "MaxPool", kernel_shape=[2], pads=[0, 1]),
    case("mixed", 2, "MaxPool", kernel_shape=[2], strides=[2], ceil_mode=1),
    case("mixed", 2, "AveragePool", kernel_shape=[2], pads=[0, 1]),
    case("rows", 2, "AveragePool", kernel_shape=[2], pads=[0, 1], count_include_pad=1),
    case("rows", 2, "LpPool", kernel_shape=[2], pads=[0, 1]),
    case("free", 1, "Gather", "x n0", axis=1),
    chain("mixed", 1, "last", node("Gather", "x minus1", "y", axis=1)),
    chain("mixed", 1, "turned round", node("Slice", "x minus1 low i1 minus1", "y")),
    case("rows", 1, "Slice", "x i1 end i1"),
    case("rows", 1, "Pad", "x pad_front"),
    chain("rows", 0, "Pad behind", node("Pad", "x pad_rows", "y")),
    chain("mixed", 0, "Pad behind with the edge", node("Pad", "x pad_rows", "y", mode="edge")),
    chain("unclear", 0, "Resize", helper.make_node("Resize", ["x", "", "size_rows"], ["y"])),
    case("unclear", 2, "MatMul", "x w44"),
    case("rows", 0, "RNN", "x rw rr", hidden_size=5),
    case("mixed", 0, "RNN", "x rw rr", hidden_size=5, direction="reverse"),
    chain("mixed", 0, "RNN's last", node("RNN", "x rw rr", "t y", hidden_size=5)),
    case("unclear", 0, "NonZero"),
    case("mixed", 0, "Unique"),
    chain(
        "rows",
        0,
        "DynamicQuantizeLinear",
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("DequantizeLinear", "q s z", "y"),
    ),
]
VALUES["rw3"], VALUES["rr3"] = np.tile(VALUES["rw"], (1, 3, 1)), np.tile(VALUES["rr"], (1, 3, 1))
VALUES["low"] = np.array([-(1 << 40)])


@pytest.mark.parametrize("each", PADDED, ids=lambda each: each.title)
def test_what_an_operator_does_with_padding(each: Case) -> None:
    made = each.model()
    state = state_of(made, each.at, Mode.PAD)
    assert word(state) == each.becomes, state
    if each.becomes in ("rows", "free"):
        assert holds(made, each.at, Mode.PAD, 0)


@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_is_claimed_of_random_graphs_that_onnx_runtime_shows_otherwise(mode: Mode) -> None:
    claimed = 0
    for seed in range(400):
        at = 0 if mode is Mode.JOIN else seed % 3
        draw = Draw(seed, at=at)
        for _ in range(draw.rng.integers(1, 7)):
            grow(draw)
        if draw.nodes:
            told = holds(draw.model(draw.nodes[-1].output[0]), at, mode, seed)
            assert told is not False, seed
            claimed += told is True
    assert claimed > 80  # and not because nothing is claimed


def test_an_if_by_a_known_shape_is_followed_and_a_loop_is_not() -> None:
    branch = [
        helper.make_graph([node("Relu", "x", name)], name, [], [onnx.ValueInfoProto(name=name)])
        for name in "ab"
    ]
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s one", "n"),
        node("Equal", "n one", "is_one"),
        node("If", "is_one", "y", then_branch=branch[0], else_branch=branch[1]),
    ]
    made = model(
        nodes, [tensor("x", ["rows", "wide"])], [tensor("y", ["rows", "wide"])], [constant("one", 1)]
    )
    assert judge_joined(graph_of(made)).word == "proved"
    nodes[-1] = node("Loop", "one  x", "y", body=branch[0])
    found = judge_joined(
        graph_of(model(nodes, [tensor("x", ["rows", 3])], [tensor("y", ["rows", 3])], [constant("one", 1)]))
    )
    assert (found.word, found.cause) == ("unproved", "Loop 'y': what it does is not followed")


@pytest.mark.parametrize("domain", ["com.microsoft", "my.own"])
def test_a_custom_operator_of_a_known_name_proves_nothing(domain: str) -> None:
    made = model(
        [node("Relu", "x", "y", domain=domain)], [tensor("x", ["rows", 3])], [tensor("y", ["rows", 3])]
    )
    found = judge_joined(graph_of(made))
    assert (found.word, found.cause) == (
        "unproved",
        f"{domain}.Relu 'y': no rule says what it does with rows",
    )


def test_equal_sizes_that_a_proof_goes_by_are_told() -> None:
    nodes = [node("Shape", "mask", "s"), node("Gather", "s one", "n"), node("Concat", "minus n", "t", axis=0)]
    nodes.append(node("Reshape", "x t", "y"))
    inputs = [tensor("x", ["batch", "length"]), tensor("mask", ["batch", "length"])]
    values = [constant("one", [1]), constant("minus", [-1])]
    found = judge_joined(graph_of(model(nodes, inputs, [tensor("y", ["batch", None])], values)))
    assert (found.word, found.equal) == ("proved", ((("x", 1), ("mask", 1)),))
