"""What an ONNX graph says of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from modeldyno.compiler.frontends.onnx.roles import onnx_facts
from modeldyno.compiler.model.input_roles import Facts, Role
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from tests.compiler.models import constant, model, node, tensor, weights

INT64 = TensorProto.INT64


def facts(nodes: list[Any], inputs: list[Any], initializers: Sequence[Any] = (), **options: Any) -> Facts:
    import onnx

    made = model(nodes, inputs, [tensor("y", [None])], initializers, opset=18, **options)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return onnx_facts(OnnxGraph(onnx.shape_inference.infer_shapes(made, data_prop=True)))


def ids(*shape: int) -> Any:
    return tensor("ids", shape, INT64)


TABLE, ZERO, SEVEN = weights("table", 11, 4), constant("zero", 0), constant("seven", 7)


@pytest.mark.parametrize(
    ("nodes", "inputs", "initializers", "role"),
    [
        ([node("Gather", "table ids", "y")], [ids(3)], [TABLE], Role("index", (11,), from_end=True)),
        (
            [node("Cast", "ids", "i", to=TensorProto.INT32), node("Gather", "table i", "y", axis=1)],
            [ids(3)],
            [TABLE],
            Role("index", (4,), from_end=True),
        ),
        (
            [node("Gather", "table ids", "a"), node("Gather", "b ids", "c"), node("Add", "a c", "y")],
            [ids(3)],
            [TABLE, weights("b", 7, 4)],
            Role("index", (7,), from_end=True),
        ),
        ([node("GatherND", "table ids", "y")], [ids(3, 2)], [TABLE], Role("index", (11, 4), from_end=True)),
        (
            [node("ScatterElements", "x ids u", "y", axis=1)],
            [ids(2, 3), tensor("x", [2, 9]), tensor("u", [2, 3])],
            [],
            Role("index", (9,), from_end=True, unique=1),
        ),
        (
            [node("ScatterND", "x ids u", "y")],
            [ids(3, 2), tensor("x", [5, 4]), tensor("u", [3])],
            [],
            Role("index", (5, 4), from_end=True, unique=-1),
        ),
        (
            [node("BitwiseNot", "ids", "n"), node("ReduceMean", "n", "y")],
            [ids(3)],
            [],
            Role("unknown"),
        ),
        ([node("ReduceMax", "ids", "m"), node("CumSum", "m zero", "y")], [ids(3)], [ZERO], Role("number")),
        ([node("Mod", "ids seven", "y")], [ids(3)], [SEVEN], Role("whole")),
        ([node("Mod", "ids seven", "y", fmod=1)], [ids(3)], [SEVEN], Role("number")),
        (
            [node("RoiAlign", "x rois ids", "y")],
            [ids(3), tensor("x", [2, 3, 8, 8]), tensor("rois", [3, 4])],
            [],
            Role("index", (2,)),
        ),
        (
            [node("ReverseSequence", "x ids", "y", time_axis=1, batch_axis=0)],
            [ids(2), tensor("x", [2, 6, 3])],
            [],
            Role("length", (6,)),
        ),
        ([node("Less", "range ids", "y")], [ids(1)], [constant("range", range(9))], Role("length", (9,))),
        ([node("Div", "x ids", "y")], [ids(3), tensor("x", [3], INT64)], [], Role("whole", divides=True)),
        (
            [node("Add", "ids one", "i"), node("Gather", "table i", "y")],
            [ids(3)],
            [TABLE, constant("one", 1)],
            Role("index", (11,)),
        ),
        ([node("ReduceMax", "ids", "y")], [ids(3)], [], Role("whole")),
        ([node("ReduceSum", "ids", "y")], [ids(3)], [], Role("number")),
        ([node("Neg", "ids", "m"), node("ReduceMax", "m", "y")], [ids(3)], [], Role("number")),
        ([node("Cast", "ids", "y", to=TensorProto.FLOAT)], [ids(3)], [], Role("number")),
        (
            [
                node("Cast", "ids", "f", to=TensorProto.FLOAT),
                node("Sub", "one f", "away"),
                node("Mul", "away much", "m"),
                node("Add", "x m", "s"),
                node("Softmax", "s", "y"),
            ],
            [ids(2, 5), tensor("x", [2, 5])],
            [constant("one", 1, "float32"), constant("much", -1e4, "float32")],
            Role("mask"),
        ),
        (
            [node("Gather", "table ids", "e"), node("Softmax", "e", "y")],
            [ids(3)],
            [TABLE],
            Role("index", (11,), from_end=True),
        ),
        ([node("NonZero", "ids", "y")], [ids(3)], [], Role("unknown")),
    ],
)
def test_whole_numbers_are_what_reads_them(
    nodes: list[Any], inputs: list[Any], initializers: list[Any], role: Role
) -> None:
    assert facts(nodes, inputs, initializers).roles["ids"] == role


def test_a_mask_is_added_to_scores_and_logits_are_none() -> None:
    nodes = [node("MatMul", "x w", "s"), node("Add", "s m", "t"), node("Softmax", "t", "y")]
    found = facts(nodes, [tensor("x", [2, 4]), tensor("m", [2, 6])], [weights("w", 4, 6)])
    assert dict(found.roles) == {"m": Role("mask", added=True)}
    bias = facts(
        [node("Add", "x w", "t"), node("Softmax", "t", "y")], [tensor("x", [2, 4])], [weights("w", 4)]
    )
    assert dict(bias.roles) == {}


def test_an_image_has_channels_and_a_convolution() -> None:
    nodes = [node("Sub", "x mean", "z"), node("Conv", "z w", "y", kernel_shape=[3, 3])]
    values = [constant("mean", 0.5, "float32"), weights("w", 8, 3, 3, 3)]
    assert facts(nodes, [tensor("x", [1, 3, 9, 9])], values).roles["x"] == Role("image")
    wide = [weights("w", 8, 16, 3, 3)]
    inner = facts([node("Conv", "x w", "y", kernel_shape=[3, 3])], [tensor("x", [1, 16, 9, 9])], wide)
    assert dict(inner.roles) == {}


def test_outputs_that_nothing_rounds_are_exact() -> None:
    assert facts([node("ArgMax", "x", "y", axis=1)], [tensor("x", [2, 4])]).exact == {"y"}
    added = [node("ScatterElements", "x i u", "y", reduction="add")]
    inputs = [tensor("x", [2, 4]), tensor("i", [2, 4], INT64), tensor("u", [2, 4])]
    assert facts(added, inputs).exact == frozenset()
    nodes = [node("Exp", "x", "e"), node("ArgMax", "e", "y", axis=1)]
    assert facts(nodes, [tensor("x", [2, 4])]).exact == frozenset()


def test_the_division_that_ends_the_reference_is_seen_before_it_runs() -> None:
    nodes = [node("Sub", "x one", "d"), node("Div", "ids d", "y")]
    found = facts(nodes, [ids(2), tensor("x", [2], INT64)], [constant("one", 1)])
    least = np.iinfo(np.int64).min
    assert "Div 'y' would divide the least int64 by -1" in found.deadly(
        {"ids": np.array([4, least]), "x": np.array([0, 0])}
    )
    assert found.deadly({"ids": np.array([4, least]), "x": np.array([3, 3])}) == ""
    assert found.divides
