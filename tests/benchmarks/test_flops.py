"""Operations counted from a graph's shapes, against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.flops import graph_flops


def graph(
    nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]], shape: tuple[object, ...]
) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(size, np.float32), name) for name, size in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


def test_a_convolution_counts_two_operations_per_filter_element_and_output_element() -> None:
    # ResNet-50's first: 7x7 over 3 channels, 64 x 112 x 112 outputs.
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[3, 3, 3, 3], strides=[2, 2])
    counted = graph_flops(graph([node], {"w": (64, 3, 7, 7)}, (1, 3, 224, 224)))
    assert counted == 2 * (64 * 112 * 112) * (3 * 7 * 7) == 236_027_904


def test_a_depthwise_convolution_counts_its_own_group_only() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], group=8)
    counted = graph_flops(graph([node], {"w": (8, 1, 3, 3)}, (2, 8, 10, 10)))
    assert counted == 2 * (2 * 8 * 10 * 10) * 9


def test_a_transposed_convolution_spreads_every_input_over_the_filter() -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    counted = graph_flops(graph([node], {"w": (4, 6, 2, 2)}, (1, 4, 5, 5)))
    assert counted == 2 * (4 * 5 * 5) * (6 * 2 * 2)


def test_gemm_takes_its_depth_from_the_right_side_of_a() -> None:
    flat = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    assert graph_flops(graph([flat], {"w": (7, 5)}, (7, 3))) == 2 * 3 * 5 * 7


def test_batched_products_and_shapes_that_only_inference_knows_are_counted() -> None:
    # [2, 6] -> [2, 3, 2] by a Reshape, times [2, 64] for each of the two.
    nodes = [
        helper.make_node("Constant", [], ["s"], value=numpy_helper.from_array(np.array([2, 3, 2]))),
        helper.make_node("Reshape", ["x", "s"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["m"]),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    assert graph_flops(graph(nodes, {"w": (2, 64)}, (2, 6))) == 2 * (2 * 3 * 64) * 2


def test_an_open_shape_is_an_error_that_names_the_tensor() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    with pytest.raises(ValueError, match=r"MatMul 'y': the shape of '.' is not known"):
        graph_flops(graph([node], {"w": (4, 4)}, ("n", 4)))
