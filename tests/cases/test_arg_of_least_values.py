"""ArgMax and ArgMin of rows of least (largest) numbers, ties and NaN: a place that exists, ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.cases.agreement import Both
from tests.compiler.models import constant, model, node, tensor
from tests.compiler.relaxed import Array

SHAPE = (2, 16, 3)
KINDS = {
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}


def places(folder: Path, dtype: str) -> Both:
    """Every axis, first and last of several, and TopK where the type has it."""
    nodes = [
        node(kind, "x", f"{kind}:{axis},{last}", axis=axis, select_last_index=last, keepdims=last)
        for kind in ("ArgMax", "ArgMin")
        for axis in range(3)
        for last in (0, 1)
    ]
    sorts = [
        node("TopK", f"x {count}", f"{count}v:{axis},{largest} {count}i:{axis},{largest}", axis=axis)
        for count in ("one", "two")
        for axis in range(3)
        for largest in (0, 1)
    ]
    for number, each in enumerate(sorts):
        each.attribute.append(helper.make_attribute("largest", number % 2))
    nodes += sorts if dtype not in ("uint8", "int8") else []
    outputs = [helper.make_empty_tensor_value_info(name) for each in nodes for name in each.output]
    counts = [constant("one", [1]), constant("two", [2])]
    return Both(folder, model(nodes, [tensor("x", SHAPE, KINDS[dtype])], outputs, counts, opset=20))


def edges(dtype: str) -> list[float]:
    kind = np.dtype(dtype).kind
    limits = np.finfo(dtype) if kind == "f" else np.iinfo(dtype)
    return [limits.min, limits.max, 0, *((np.inf, -np.inf) if kind == "f" else ())]


@pytest.mark.parametrize("dtype", KINDS)
def test_a_row_of_one_value_has_its_place_at_an_end(tmp_path: Path, dtype: str) -> None:
    both = places(tmp_path, dtype)
    for value in edges(dtype):
        assert both.differing({"x": np.full(SHAPE, value, dtype)}) == []
    rng = np.random.default_rng(0)
    for _ in range(3):  # many ties
        assert both.differing({"x": rng.choice(edges(dtype), SHAPE).astype(dtype)}) == []
        assert both.differing({"x": rng.integers(0, 3, SHAPE).astype(dtype)}) == []


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Both:
    nodes = [
        node(kind, "x", f"{kind}:{axis},{last}", axis=axis, select_last_index=last)
        for kind in ("ArgMax", "ArgMin")
        for axis in range(3)
        for last in (0, 1)
    ]
    nodes.append(node("Hardmax", "x", "hardest", axis=1))
    outputs = [helper.make_empty_tensor_value_info(each.output[0]) for each in nodes]
    made = model(nodes, [tensor("x", SHAPE)], outputs, opset=20)
    return Both(tmp_path_factory.mktemp("floats"), made)


def with_none(seed: int) -> Array:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(SHAPE) < 0.3, np.nan, rng.standard_normal(SHAPE)).astype(np.float32)


@pytest.mark.parametrize(
    "data", [*(with_none(seed) for seed in range(3)), np.full(SHAPE, np.nan, np.float32)]
)
def test_nan_is_passed_over_but_at_the_first_place(floats: Both, data: Array) -> None:
    assert [each for each in floats.differing({"x": data}) if "hardest" not in each] == []


def test_the_hardest_of_no_numbers_is_nowhere(floats: Both) -> None:
    found = floats.ours.run({"x": np.full(SHAPE, np.nan, np.float32)})["hardest"]
    np.testing.assert_array_equal(found, np.zeros(SHAPE))
    masked = floats.ours.run({"x": np.full(SHAPE, -np.inf, np.float32)})["hardest"]
    np.testing.assert_array_equal(masked.sum(1), np.ones((2, 3)))
