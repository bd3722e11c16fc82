"""Reductions over no axis, which leave the function of one element, and means of whole numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.cases.agreement import Both
from tests.compiler.models import constant, model, node, tensor

SHAPE = (3, 5)
KINDS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")


def test_a_reduction_over_no_axis_is_its_function_of_one_element(tmp_path: Path) -> None:
    nodes = [node(f"Reduce{kind}", "x", kind, noop_with_empty_axes=1) for kind in KINDS]
    outputs = [helper.make_empty_tensor_value_info(kind) for kind in KINDS]
    both = Both(tmp_path, model(nodes, [tensor("x", SHAPE)], outputs, opset=18))
    data = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    assert both.differing({"x": np.abs(data)}) == []
    assert [each for each in both.differing({"x": data}) if not each.startswith("LogSum ")] == []


@pytest.mark.parametrize(("kind", "dtype"), [(TensorProto.INT32, "int32"), (TensorProto.INT64, "int64")])
def test_a_mean_of_whole_numbers_is_cut_off(tmp_path: Path, kind: int, dtype: str) -> None:
    nodes = [node("ReduceMean", "x", "all", keepdims=0), node("ReduceMean", "x axes", "rows")]
    outputs = [helper.make_empty_tensor_value_info(name) for name in ("all", "rows")]
    made = model(nodes, [tensor("x", SHAPE, kind)], outputs, [constant("axes", [-1])], opset=18)
    data = np.random.default_rng(0).integers(-9, 9, SHAPE).astype(dtype)
    assert Both(tmp_path, made).differing({"x": data}) == []
