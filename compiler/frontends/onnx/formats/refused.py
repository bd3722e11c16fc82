"""Quantised files that are not compiled: refused by the names of their operators, with what to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
from onnx import TensorProto

from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.onnx.formats.dynamic import DYNAMIC

_AS_OPERATORS = frozenset(
    (
        *("QLinearConv", "ConvInteger"),
        *("QLinearAdd", "QLinearMul", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearConcat"),
        *("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax", "QLinearReduceMean", "QLinearWhere"),
        *("QLinearConvTranspose", "QGemm", "QAttention", "QOrderedMatMul", "QEmbedLayerNormalization"),
        *("DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "NhwcMaxPool"),
    )
)
_PACKED_WEIGHTS = frozenset(
    ("MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized", "QMoE", "GemmFloat8")
)
_NARROW = frozenset(
    kind
    for name in ("INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1")
    if (kind := getattr(TensorProto, name, None)) is not None
)
_FORMS = (
    (
        _PACKED_WEIGHTS,
        "has weights packed by ONNX Runtime",
        "Compile the model as it was before, in float32 or float16",
    ),
    (
        _AS_OPERATORS,
        "is quantised with operators on whole numbers",
        "Quantise it as pairs of QuantizeLinear and DequantizeLinear (`quant_format=QuantFormat.QDQ` of "
        "onnxruntime.quantization), which compile",
    ),
)
_WAYS = "or `fallback=onnxruntime` runs these operators there; `dyno serve` runs the file itself there"


def refuse_quantised(path: Path, model: onnx.ModelProto) -> None:
    """Refuse a file that is quantised in a form that is not compiled.

    Raises:
        ModelError: it is; names the operators or the type, the first node, and the ways out.
    """
    first: dict[str, onnx.NodeProto] = {}
    counts = Counter(node.op_type for node in model.graph.node)
    # Between numbers that are quantised while the model runs, it is a convolution of floats.
    meant = {"ConvInteger"} if DYNAMIC in counts else set()
    for node in model.graph.node:
        first.setdefault(node.op_type, node)
    for kinds, words, way in _FORMS:
        found = [name for name in counts if name in kinds and name not in meant]
        if found:
            listed = ", ".join(f"{name} x{counts[name]}" if counts[name] > 1 else name for name in found)
            node = first[found[0]]
            raise ModelError(
                f"{path} {words}, which are not compiled: {listed} (the first: node "
                f"{node.name or node.output[0]!r}). {way}, {_WAYS}"
            )
    _refuse_narrow(path, model)


def has_narrow_weights(model: onnx.ModelProto) -> bool:
    """Whether a model has weights of fewer than 8 bits."""
    return any(tensor.data_type in _NARROW for tensor in model.graph.initializer)


def _refuse_narrow(path: Path, model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type in _NARROW:
            raise ModelError(
                f"{path} has weights of type {TensorProto.DataType.Name(tensor.data_type)} (the first: "
                f"{tensor.name!r}), which are not compiled. Quantise the model to 8 bits, compile it as it "
                f"was before, {_WAYS}"
            )
