"""Products of tensors that are quantised while the model runs, as products of the floats that they were.

    DynamicQuantizeLinear(x) → MatMulInteger (or ConvInteger) → Cast → x scale of x x scale of the weights

The scale is taken of all numbers of a tensor, zero among them, so that none is cut off: the floats are x
itself. What else reads the whole numbers, or their sums, reads what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from modeldyno.compiler.frontends.onnx.nodes import attribute
from modeldyno.compiler.model.arrays import Array

DYNAMIC = "DynamicQuantizeLinear"
_PRODUCTS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
Add = Callable[..., str]  # a node, and whether it may go where nothing reads it
Const = Callable[[str, Array], str]


@dataclass(frozen=True)
class _Scale:
    """A product of scales that are known when the model runs, and of constants."""

    names: tuple[str, ...]
    constant: Array

    def times(self, other: _Scale) -> _Scale:
        """Give the product of two."""
        return _Scale(tuple(sorted(self.names + other.names)), np.asarray(self.constant * other.constant))


@dataclass(frozen=True)
class _Operand:
    """One side of a product in floats: a tensor, or centred weights; over scales known when it runs."""

    name: str
    weights: Array | None
    scales: tuple[str, ...]


@dataclass(frozen=True)
class _Sums:
    """Sums of products of whole numbers: those of `sides` in floats, over the scales of both."""

    node: onnx.NodeProto
    sides: tuple[_Operand, _Operand]

    @property
    def scales(self) -> tuple[str, ...]:
        """Names of the scales that the floats' product is over."""
        return tuple(sorted(self.sides[0].scales + self.sides[1].scales))


class Products:
    """What is known of one graph's tensors, node by node."""

    def __init__(self, add: Add, const: Const, constants: Mapping[str, Array]) -> None:
        self._add, self._const, self._constants = add, const, constants
        self.floats: dict[str, tuple[str, str, str]] = {}  # whole numbers: the floats, their scale and zero
        self._scales: dict[str, _Scale] = {}
        self._sums: dict[str, _Sums] = {}

    def take(self, node: onnx.NodeProto) -> bool:
        """Add a node as what it means in floats; false where it means nothing here, and is not added."""
        kind = node.op_type
        if kind == DYNAMIC:
            data, (numbers, scale, zero) = node.input[0], node.output
            self.floats[numbers] = (data, scale, zero)
            self._scales[scale] = _Scale((scale,), np.ones((), np.float32))
        elif kind in _PRODUCTS:
            if not self._product(node):
                return False
        elif kind == "Cast" and node.input[0] in self._sums and attribute(node, "to", 0) == TensorProto.FLOAT:
            self._sums[node.output[0]] = self._sums[node.input[0]]
        elif kind == "Mul":
            return self._scaled(node)
        else:
            return False
        self._add(node, idle=True)
        return True

    def _product(self, node: onnx.NodeProto) -> bool:
        names = [*node.input, "", ""]
        channels = node.op_type == "ConvInteger"
        sides = [self._operand(names[at], names[at + 2], channels=channels and at == 1) for at in (0, 1)]
        if sides[0] is None or sides[1] is None or not (sides[0].scales + sides[1].scales):
            return False
        self._sums[node.output[0]] = _Sums(node, (sides[0], sides[1]))
        return True

    def _operand(self, name: str, zero: str, *, channels: bool) -> _Operand | None:
        if name in self.floats:
            data, scale, own = self.floats[name]
            return _Operand(data, None, (scale,)) if zero == own else None
        if name not in self._constants or (zero and zero not in self._constants):
            return None
        values = self._constants[name].astype(np.float32)
        if zero:
            centre = self._constants[zero].astype(np.float32)
            values = values - (_by_channel(centre, values.ndim) if channels else centre)
        return _Operand(name, values, ())

    def _scale(self, name: str) -> _Scale | None:
        if name in self._constants and self._constants[name].dtype == np.float32:
            return _Scale((), self._constants[name])
        return self._scales.get(name)

    def _scaled(self, node: onnx.NodeProto) -> bool:
        """Sums times their scales are the product of the floats; scales times scales are a scale."""
        for sums, factor in (tuple(node.input), tuple(node.input)[::-1]):
            known, scale = self._sums.get(sums), self._scale(factor)
            if known is not None and scale is not None and scale.names == known.scales:
                self._write(known, scale.constant, node.output[0])
                return True
        left, right = (self._scale(name) for name in node.input)
        if left is None or right is None or not (left.names or right.names):
            return False
        self._scales[node.output[0]] = left.times(right)
        self._add(node, idle=True)
        return True

    def _write(self, sums: _Sums, scale: Array, output: str) -> None:
        folded = self._with_weights(sums, scale, output)
        inputs = folded or [self._name(side, output, at) for at, side in enumerate(sums.sides)]
        alone = folded is not None or (scale.size == 1 and float(scale.reshape(())) == 1)
        made = output if alone else f"{output}__product"
        product = onnx.NodeProto(op_type=_PRODUCTS[sums.node.op_type], input=inputs, output=[made])
        product.attribute.extend(sums.node.attribute)
        self._add(product, idle=True)
        if not alone:
            factor = self._const(f"{output}__scale", scale)
            self._add(helper.make_node("Mul", [made, factor], [output]), idle=True)

    def _with_weights(self, sums: _Sums, scale: Array, output: str) -> list[str] | None:
        """Scale the weights at once, where they are the second side; None where that can't be."""
        left, right = sums.sides
        if right.weights is None:
            return None
        if sums.node.op_type == "ConvInteger":
            if scale.size not in (1, right.weights.shape[0]):
                return None
            scale = _by_channel(scale, right.weights.ndim)
        elif scale.size > 1 and scale.shape != right.weights.shape[-1:]:
            return None
        weights = np.asarray(right.weights * (scale.reshape(()) if scale.size == 1 else scale), np.float32)
        return [self._name(left, output, 0), self._const(f"{output}__weights", weights)]

    def _name(self, side: _Operand, output: str, place: int) -> str:
        return side.name if side.weights is None else self._const(f"{output}__side{place}", side.weights)


def _by_channel(values: Array, rank: int) -> Array:
    """Lay one number, or one of each output channel, out along a filter's first axis."""
    return values.reshape([values.size, *[1] * (rank - 1)])
