"""How whole numbers stand for floats: (number - zero point) x scale, for a tensor, a channel or a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from modeldyno.compiler.frontends.onnx.nodes import attribute
from modeldyno.compiler.model.arrays import Array

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
DOMAINS = ("", "ai.onnx", "com.microsoft")
# What a pair may hold; int32 is what biases are kept as.
_WHOLE = frozenset(map(np.dtype, ("int8", "uint8", "int16", "uint16", "int32")))


def is_quantize(node: onnx.NodeProto) -> bool:
    """Whether a node turns floats into whole numbers by a scale."""
    return node.op_type == QUANTIZE and node.domain in DOMAINS


def is_dequantize(node: onnx.NodeProto) -> bool:
    """Whether a node turns whole numbers into floats by a scale."""
    return node.op_type == DEQUANTIZE and node.domain in DOMAINS


@dataclass(frozen=True)
class Scale:
    """Scale and zero point of a tensor: arrays that broadcast over it, and the type of its numbers."""

    scale: Array
    zero: Array
    dtype: np.dtype

    @property
    def is_single(self) -> bool:
        """Whether one scale holds for the whole tensor."""
        return self.scale.size == 1 and self.zero.size == 1

    @property
    def low(self) -> Array:
        """The least float that the numbers stand for."""
        return self._of(np.iinfo(self.dtype).min)

    @property
    def high(self) -> Array:
        """The largest float that the numbers stand for."""
        return self._of(np.iinfo(self.dtype).max)

    def _of(self, number: int) -> Array:
        return np.asarray((number - self.zero).astype(np.float64) * self.scale, np.float32)

    def same(self, other: Scale) -> bool:
        """Whether equal numbers stand for equal floats."""
        return (
            self.dtype == other.dtype
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero, other.zero)
        )

    def transposed(self, axes: tuple[int, ...]) -> Scale:
        """Give that of a tensor whose axes are laid out anew."""
        if self.is_single:
            return self
        return Scale(self.scale.transpose(axes), self.zero.transpose(axes), self.dtype)


def scale_of(
    node: onnx.NodeProto, constants: Mapping[str, Array], shape: tuple[int | None, ...] | None, kind: np.dtype
) -> Scale | None:
    """Read the scale of a Quantize or Dequantize node of a tensor of `shape`, of numbers of type `kind`.

    None where it is no constant, where its axis can't be told, or where the numbers are of another kind.
    """
    names = [*node.input, "", ""]
    given = constants.get(names[1])
    if given is None or kind not in _WHOLE or (names[2] and names[2] not in constants):
        return None
    scale = given.astype(np.float32)
    zero = constants[names[2]].astype(np.int64) if names[2] else np.zeros_like(scale, np.int64)
    if not np.isfinite(scale).all() or (scale <= 0).any():
        return None
    if scale.size == 1 == zero.size:
        return Scale(scale.reshape(()), zero.reshape(()), kind)
    if shape is None or scale.shape != zero.shape:
        return None
    scales, zeros = _laid(scale, node, shape), _laid(zero, node, shape)
    return None if scales is None or zeros is None else Scale(scales, zeros, kind)


def _laid(values: Array, node: onnx.NodeProto, shape: tuple[int | None, ...]) -> Array | None:
    """Lay values of an axis, or of the blocks along it, out so that they broadcast over a tensor."""
    axis, block = attribute(node, "axis", 1), attribute(node, "block_size", 0)
    rank = len(shape)
    axis = axis + rank if axis < 0 else axis
    if rank == 1 and values.ndim == 1:
        axis = 0
    if not 0 <= axis < rank:
        return None
    if not block:
        return values.reshape([-1 if at == axis else 1 for at in range(rank)]) if values.ndim == 1 else None
    size = shape[axis]
    if values.ndim != rank or size is None:
        return None
    return np.take(np.repeat(values, block, axis), np.arange(size), axis)


def whole_type(node: onnx.NodeProto, constants: Mapping[str, Array]) -> np.dtype | None:
    """Give the type of the numbers that a Quantize node gives; None where that is not known."""
    zero = node.input[2] if len(node.input) > 2 else ""
    if zero:
        return constants[zero].dtype if zero in constants else None
    named = attribute(node, "output_dtype", 0) or TensorProto.UINT8
    return np.dtype(helper.tensor_dtype_to_np_dtype(named))
