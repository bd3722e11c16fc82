"""Inputs that decide shapes, made constants: what an operator reads as axes, sizes, pads or a count.

Compiled code has fixed shapes. A model that takes `k` of TopK or the shape of Reshape as an input is compiled
for one value of it; whoever calls `freeze` says which, and keeps apart what was compiled so.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from modeldyno.compiler.model.arrays import Array

_AXES = dict.fromkeys(
    (
        *(f"Reduce{kind}" for kind in ("Max", "Min", "Sum", "Mean", "Prod", "LogSumExp", "LogSum")),
        *(f"Reduce{kind}" for kind in ("SumSquare", "L1", "L2")),
        *("Squeeze", "Unsqueeze", "Reshape", "Expand", "Tile", "Split", "SplitToSequence", "TopK", "CumSum"),
        *("OneHot", "CenterCropPad", "Trilu", "Upsample", "AffineGrid", "MaxUnpool", "SequenceAt", "Col2Im"),
    ),
    (1,),
)
# Which inputs of an operator decide the shape of what it gives, or which elements it reads, by place.
SLOTS: dict[str, tuple[int, ...]] = {
    **_AXES,
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "CumProd": (1,),
    "DFT": (1, 2),
    "Dropout": (1, 2),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "If": (0,),
    "Loop": (0, 1),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "NonMaxSuppression": (2, 3, 4),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "SequenceErase": (1,),
    "SequenceInsert": (2,),
    "Slice": (1, 2, 3, 4),
}
_SHAPE_ONLY = ("Shape", "Size")  # read no numbers, only how many there are


def shape_inputs(model: onnx.ModelProto) -> tuple[str, ...]:
    """Name the inputs that decide shapes, directly or by what is computed from them, in the model's order.

    Only numbers and lists: what a whole tensor of data decides is not for one value.
    """
    wanted = {
        name
        for node in model.graph.node
        for place, name in enumerate(node.input)
        if place in SLOTS.get(node.op_type, ())
    }
    for node in reversed(model.graph.node):  # in order of computation, so one walk back is enough
        if wanted.intersection(node.output) and node.op_type not in _SHAPE_ONLY:
            wanted.update(node.input)
    weights = {tensor.name for tensor in model.graph.initializer}
    return tuple(
        value.name
        for value in model.graph.input
        if value.name in wanted and value.name not in weights and _is_short(value)
    )


def _is_short(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return value.type.HasField("tensor_type") and tensor.HasField("shape") and len(tensor.shape.dim) <= 1


def freeze(model: onnx.ModelProto, values: Mapping[str, Array]) -> onnx.ModelProto:
    """Give a copy of the model in which the inputs of these names are initializers of these values."""
    frozen = onnx.ModelProto()
    frozen.CopyFrom(model)
    kept = [value for value in frozen.graph.input if value.name not in values]
    del frozen.graph.input[:]
    frozen.graph.input.extend(kept)
    for name, array in values.items():
        frozen.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return frozen
