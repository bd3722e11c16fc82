"""Operators taken apart give what ONNX Runtime gives for them whole, through ONNX's backend interface."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper

from modeldyno.base.errors import CompileError, ModelError, RequestError
from modeldyno.compiler.frontends.onnx.rules.apply import take_apart
from modeldyno.compiler.onnx_backend import ModeldynoBackend
from tests.compiler.models import constant, model, node, tensor

Array = npt.NDArray[Any]
OPSET = 23


def random(*shape: int, dtype: str = "float32") -> Array:
    return np.random.default_rng(len(shape)).normal(0, 1, shape).astype(dtype)


def one_node(made: onnx.NodeProto, feeds: dict[str, Array], opset: int = OPSET) -> onnx.ModelProto:
    inputs = [
        tensor(name, array.shape, helper.np_dtype_to_tensor_dtype(array.dtype))
        for name, array in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in made.output if name]
    return onnx.shape_inference.infer_shapes(model([made], inputs, outputs, opset=opset))


def agree(whole: onnx.ModelProto, feeds: dict[str, Array]) -> None:
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, feeds)
    found = ModeldynoBackend.run_model(whole, list(feeds.values()))
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)


def check(made: onnx.NodeProto, feeds: dict[str, Array], opset: int = OPSET) -> None:
    agree(one_node(made, feeds, opset), feeds)


def test_attention_with_shared_heads_cache_and_causal_mask() -> None:
    feeds = {
        "q": random(2, 4, 3, 8),
        "k": random(2, 2, 3, 8),
        "v": random(2, 2, 3, 6),
        "m": random(3, 5),
        "pk": random(2, 2, 2, 8),
        "pv": random(2, 2, 2, 6),
    }
    check(node("Attention", "q k v m pk pv", "y a b", is_causal=1, softcap=2.0), feeds)


def test_a_query_that_may_look_at_nothing_gives_zeros() -> None:
    feeds = {"q": random(1, 1, 2, 4), "k": random(1, 1, 3, 4), "v": random(1, 1, 3, 4)}
    mask = np.array([[True, False, True], [False, False, False]])
    (found,) = ModeldynoBackend.run_model(
        one_node(node("Attention", "q k v m", "y"), {**feeds, "m": mask}), [*feeds.values(), mask]
    )
    assert np.isfinite(found).all()
    assert not found[0, 0, 1].any()
    assert found[0, 0, 0].any()


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding_of_a_part_of_each_head(interleaved: int) -> None:
    feeds = {
        "x": random(1, 3, 16),
        "c": random(5, 2),
        "s": random(5, 2),
        "p": np.array([[4, 0, 2]]),
    }
    attributes = {"num_heads": 2, "rotary_embedding_dim": 4, "interleaved": interleaved}
    check(node("RotaryEmbedding", "x c s p", "y", **attributes), feeds)


@pytest.mark.parametrize(("kind", "gates", "states"), [("RNN", 1, 1), ("GRU", 3, 1), ("LSTM", 4, 2)])
def test_recurrent_layers_both_ways_over_rows_of_different_lengths(
    kind: str, gates: int, states: int
) -> None:
    feeds = {
        "x": random(4, 2, 3),
        "w": random(2, gates * 5, 3),
        "r": random(2, gates * 5, 5),
        "b": random(2, 2 * gates * 5),
        "n": np.array([4, 2], np.int32),
    }
    made = helper.make_node(
        kind, list(feeds), ["y", "h", "c"][: 1 + states], hidden_size=5, direction="bidirectional"
    )
    check(made, feeds, 14)


def test_layer_norm_gives_mean_and_deviation_too() -> None:
    feeds = {"x": random(2, 3, 4), "s": random(3, 4), "b": random(3, 4)}
    check(node("LayerNormalization", "x s b", "y m d", axis=1), feeds)


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "cubic"},
        {"mode": "linear", "antialias": 1},
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"},
        {"mode": "nearest", "nearest_mode": "ceil"},
    ],
    ids=["cubic", "antialias", "symmetric", "ceil"],
)
def test_resize_to_sizes_that_are_no_multiple(attributes: dict[str, Any]) -> None:
    made = helper.make_node("Resize", ["x", "", "scales"], ["y"], **attributes)
    scales = constant("scales", [1, 1, 0.6, 0.7], "float32")
    whole = model(
        [made],
        [tensor("x", [1, 2, 6, 8])],
        [helper.make_empty_tensor_value_info("y")],
        [scales],
        opset=19,
    )
    agree(onnx.shape_inference.infer_shapes(whole), {"x": random(1, 2, 6, 8)})


def test_quantized_matmul_rounds_and_saturates() -> None:
    rng = np.random.default_rng(0)
    feeds: dict[str, Array] = {
        "a": rng.integers(0, 255, (3, 4)).astype(np.uint8),
        "sa": np.array(0.02, np.float32),
        "za": np.array(113, np.uint8),
        "b": rng.integers(0, 255, (4, 2)).astype(np.uint8),
        "sb": np.array(0.02, np.float32),
        "zb": np.array(114, np.uint8),
        "sy": np.array(0.01, np.float32),
        "zy": np.array(118, np.uint8),
    }
    check(helper.make_node("QLinearMatMul", list(feeds), ["y"]), feeds, 10)


@pytest.mark.parametrize(
    ("made", "feeds"),
    [
        (node("Pow", "x y", "z"), {"x": np.array([1, 2, -3]), "y": np.array([2, 3, 3])}),
        (node("CumProd", "x a", "z", reverse=1), {"x": random(2, 3), "a": np.array(1)}),
        (node("LpNormalization", "x", "z", axis=1, p=1), {"x": random(2, 3)}),
        (node("IsInf", "x", "z", detect_negative=0), {"x": np.array([np.inf, -np.inf, 1], np.float32)}),
        (node("ReduceMax", "x a", "z"), {"x": random(2, 0, 4), "a": np.array([1])}),
        (node("ReduceMin", "x a", "z"), {"x": np.array([[True, False]]), "a": np.array([1])}),
        (node("Identity", "x", "z"), {"x": random(2, 3)}),
    ],
    ids=["pow", "cumprod", "lp_norm", "is_inf", "empty", "bool", "identity"],
)
def test_small_operators(made: onnx.NodeProto, feeds: dict[str, Array]) -> None:
    whole = one_node(made, feeds, 26 if made.op_type == "CumProd" else 20)
    if made.op_type != "CumProd":
        agree(whole, feeds)
        return
    (found,) = ModeldynoBackend.run_model(whole, list(feeds.values()))
    np.testing.assert_allclose(found, np.cumprod(feeds["x"][:, ::-1], 1)[:, ::-1], rtol=1e-5)


def test_boxes_that_overlap_are_suppressed() -> None:
    boxes = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 10, 1, 11]]], np.float32)
    feeds = {
        "boxes": boxes,
        "scores": np.array([[[0.9, 0.75, 0.6]]], np.float32),
        "most": np.array([3]),
        "iou": np.array([0.5], np.float32),
        "least": np.array([0.0], np.float32),
    }
    check(helper.make_node("NonMaxSuppression", list(feeds), ["y"]), feeds, 11)


@pytest.mark.parametrize(
    ("image", "block", "attributes", "columns"),
    [
        ((5, 6), (2, 3), {}, 16),
        ((5, 5), (1, 5), {"pads": [0, 1, 0, 1]}, 15),
        ((6, 6), (2, 2), {"dilations": [1, 5]}, 5),
        ((6, 5), (2, 2), {"strides": [2, 2]}, 6),
    ],
    ids=["plain", "pads", "dilations", "strides that leave a rest"],
)
def test_blocks_that_overlap_are_added_in_their_places(
    image: tuple[int, ...], block: tuple[int, ...], attributes: dict[str, Any], columns: int
) -> None:
    feeds = {"x": random(2, 3 * block[0] * block[1], columns)}
    made = one_node(node("Col2Im", "x i b", "y", **attributes), {**feeds, "i": np.array(image)})
    del made.graph.input[1:]
    made.graph.initializer.extend([constant("i", image), constant("b", block)])
    agree(made, feeds)


@pytest.mark.parametrize(("mode", "begins"), [("linear", [1, 3]), ("circular", [4, 2])])
def test_rows_are_written_into_a_cache_from_where_each_sequence_is(mode: str, begins: list[int]) -> None:
    feeds = {"c": random(2, 3, 5, 4), "u": random(2, 3, 2, 4), "b": np.array(begins)}
    check(node("TensorScatter", "c u b", "y", mode=mode), feeds, opset=24)


def test_what_no_rule_knows_stays_as_it_is_and_is_named() -> None:
    whole = one_node(node("Det", "x", "y", name="area"), {"x": random(2, 2)})
    assert [found.op_type for found in take_apart(whole).graph.node] == ["Det"]
    with pytest.raises(
        CompileError, match=r"Det \(node 'area', domain ai.onnx, opset 23\): unknown.*dyno serve"
    ):
        ModeldynoBackend.run_model(whole, [random(2, 2)])


def test_inputs_that_decide_shapes_are_named_and_compiled_for_each_value() -> None:
    whole = one_node(node("TopK", "x k", "v i"), {"x": random(2, 5), "k": np.array([2])})
    prepared = ModeldynoBackend.prepare(whole)
    assert prepared.specialised == ("k",)
    for count in (2, 3):
        values, places = prepared.run([random(2, 5), np.array([count])])
        np.testing.assert_array_equal(values, np.sort(random(2, 5))[:, ::-1][:, :count])
        assert places.shape == (2, count)


def test_run_node_makes_a_model_of_one_node() -> None:
    (found,) = ModeldynoBackend.run_node(node("Add", "a b", "c"), [random(2, 3), random(3)])
    np.testing.assert_allclose(found, random(2, 3) + random(3))


def test_the_backend_says_what_it_does_not_take() -> None:
    whole = one_node(node("Relu", "x", "y"), {"x": random(2)})
    assert ModeldynoBackend.supports_device("CPU")
    assert not ModeldynoBackend.supports_device("CUDA:0")
    with pytest.raises(ModelError, match="CUDA"):
        ModeldynoBackend.prepare(whole, "CUDA")
    with pytest.raises(RequestError, match="'x' is missing"):
        ModeldynoBackend.run_model(whole, [])
    with pytest.raises(RequestError, match="2 inputs"):
        ModeldynoBackend.run_model(whole, [random(2), random(2)])
    with pytest.raises(ModelError, match="no tensor"):
        ModeldynoBackend.run_model(whole, [["text"]])


@pytest.mark.parametrize(
    ("shape", "opset", "attributes"),
    [
        ((2, 6, 3, 1), 17, {"axis": 1}),
        ((2, 6, 3, 1), 17, {"axis": 1, "onesided": 1}),
        ((2, 3, 5, 2), 17, {"axis": 2, "inverse": 1}),
        ((2, 3, 5, 2), 20, {}),
    ],
    ids=["real", "one side of real", "inverse of complex", "the last but one axis"],
)
def test_fourier_transforms_are_products(
    shape: tuple[int, ...], opset: int, attributes: dict[str, int]
) -> None:
    check(node("DFT", "x", "y", **attributes), {"x": random(*shape)}, opset)


@pytest.mark.parametrize("points", [4, 9], ids=["cut", "padded"])
def test_fourier_transforms_of_another_length_cut_or_pad_the_signal(points: int) -> None:
    made = model(
        [node("DFT", "x n", "y", axis=1)],
        [tensor("x", [2, 6, 1])],
        [tensor("y", [2, points, 2])],
        [constant("n", points)],
        opset=17,
    )
    agree(made, {"x": random(2, 6, 1)})


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((10, 8), {"strides": [3, 2]}),  # larger than the filters reach
        ((6, 7), {"strides": [3, 3]}),  # smaller: an odd number of rows is cut off
        ((6, 6), {"strides": [3, 3], "auto_pad": "SAME_UPPER"}),
        ((6, 6), {"strides": [3, 3], "auto_pad": "SAME_LOWER"}),
        ((8, 9), {"strides": [2, 2], "dilations": [2, 2], "group": 2}),
    ],
)
def test_a_transposed_convolution_of_a_given_size(shape: tuple[int, int], attributes: dict[str, Any]) -> None:
    group = attributes.get("group", 1)
    feeds = {"x": random(1, 2, 3, 3), "w": random(2, 4 // group, 3, 3), "b": random(4)}
    check(node("ConvTranspose", "x w b", "y", output_shape=list(shape), **attributes), feeds)
