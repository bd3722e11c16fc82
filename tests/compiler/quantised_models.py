"""Small models in other numbers than float32: quantised by ONNX Runtime's tool, and by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tests.compiler.models import Array, constant, model, node, saved, tensor

STEP = 0.05  # scale of the pairs made by hand


class Samples(CalibrationDataReader):
    """Seeded inputs of the shapes that a model declares; an open size is 4, ids are below 5."""

    def __init__(self, net: onnx.ModelProto, count: int = 4) -> None:
        self.rows: Iterator[dict[str, Array]] = iter([feeds_of(net, seed) for seed in range(count)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.rows, None)


def feeds_of(net: onnx.ModelProto, seed: int = 0) -> dict[str, Array]:
    rng, feeds = np.random.default_rng(seed), {}
    for value in net.graph.input:
        kind = value.type.tensor_type
        shape = [dim.dim_value or 4 for dim in kind.shape.dim]
        floats = kind.elem_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
        values: Any = rng.normal(size=shape) if floats else rng.integers(0, 5, shape)
        feeds[value.name] = values.astype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return feeds


def quantised(net: onnx.ModelProto, path: Path, **how: Any) -> Path:
    """Write a model as ONNX Runtime's tool quantises it, by default as pairs with numbers of uint8."""
    form = how.pop("quant_format", QuantFormat.QDQ)
    for value in net.graph.output:
        value.type.tensor_type.ClearField("shape")
    source = saved(path.parent / f"float32_{path.name}", net)
    quantize_static(source, path, Samples(net), quant_format=form, **how)
    return path


SIGNED = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8, "per_channel": True}
WIDE = {"activation_type": QuantType.QUInt16, "weight_type": QuantType.QInt16}


def as_given(path: Path, feeds: dict[str, Array]) -> list[Array]:
    """Run a file in ONNX Runtime as it is, without its rewrites."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path.read_bytes(), options)
    return list(session.run(None, feeds))


def pair(
    nodes: Sequence[onnx.NodeProto] = (),
    given: str = "q",
    *,
    shape: Sequence[int] = (2, 4, 6),
    output: Sequence[int | None] = (None, None, None),
    initializers: Sequence[onnx.TensorProto] = (),
    zero: int = 3,
    dtype: str = "uint8",
    opset: int = 21,
) -> onnx.ModelProto:
    """Quantise x, do something with the whole numbers `q`, and dequantise `given`."""
    values = [constant("s", STEP, "float32"), constant("z", zero, dtype), *initializers]
    steps = [node("QuantizeLinear", "x s z", "q"), *nodes, node("DequantizeLinear", f"{given} s z", "y")]
    return model(steps, [tensor("x", shape)], [tensor("y", output)], values, opset=opset)
