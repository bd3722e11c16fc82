"""A third answer where two differ: the model in double precision, by the definitions in the onnx package.

ONNX Runtime has errors of its own: its LRN adds squares to a running sum and takes them off again, and what
is left of small channels behind a large one is rounding. Where the referee agrees with the artifact and not
with ONNX Runtime, the difference is ONNX Runtime's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from benchmarks.fuzz.graph import Array


class LRN(OpRun):
    """Local response normalization: the onnx package walks over as many channels as there are images."""

    op_domain = ""

    def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
        before = (size - 1) // 2
        padded = np.pad(x * x, [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)])
        sums = sum(padded[:, place : place + x.shape[1]] for place in range(size))
        return (x / (bias + alpha / size * sums) ** beta,)


def in_double(model: onnx.ModelProto, given: Mapping[str, Array]) -> dict[str, Array]:
    """Give the model's outputs in double precision; nothing where the onnx package can't compute one."""
    wide = _widened(model)
    feeds = {name: _double(array) for name, array in given.items()}
    try:
        found = ReferenceEvaluator(wide, new_ops=[LRN]).run(None, feeds)
    except Exception:  # whatever an operator of the reference implementation raises
        return {}
    return {value.name: np.asarray(each) for value, each in zip(wide.graph.output, found, strict=True)}


def sides_with(truth: Array | None, got: Array, right: Array, tolerance: float) -> bool:
    """Whether `got` is as near to the truth as it has to be, and `right` is not."""
    if truth is None or truth.shape != got.shape or got.dtype.kind != "f" or not np.isfinite(truth).all():
        return False
    largest = max(float(np.abs(truth).max(initial=0.0)), 1e-6)
    off = [float(np.abs(each.astype(np.float64) - truth).max(initial=0.0)) / largest for each in (got, right)]
    return off[0] <= tolerance < off[1]


def _widened(model: onnx.ModelProto) -> onnx.ModelProto:
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    del wide.graph.value_info[:]
    for tensor in wide.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(_double(numpy_helper.to_array(tensor)), tensor.name))
    for value in (*wide.graph.input, *wide.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in wide.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
    return wide


def _double(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype == np.float32 else array
