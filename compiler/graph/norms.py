"""Layer norm and RMS norm that exporters wrote as single operators become one operator again.

    x - mean(x)  →  squared, mean, + epsilon, root  →  divided, scaled, shifted     one relax.nn.layer_norm
    x            →  squared, mean, + epsilon, root  →  divided, scaled              one relax.nn.rms_norm

Matched from the last operator backwards over the last axis. What of the chain is read elsewhere stays; what
nothing reads any more is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tvm import relax

from modeldyno.compiler.graph.fold import Array, as_constant, constant, scalar
from modeldyno.compiler.graph.rewrite import op_name, rewrite, shape_of

if TYPE_CHECKING:
    import tvm


def fuse_norms(mod: tvm.IRModule) -> tvm.IRModule:
    """Return the module with each decomposed norm over the last axis as one operator."""
    # An operator that only moves the scale (x * scale) may be the end of a norm, or stand before the shift:
    # the RMS norm found there is dropped again when the layer norm around it is found.
    return rewrite(mod, _Values().handle)


class _Values:
    """What each variable is bound to, while one function is rewritten."""

    def __init__(self) -> None:
        self.of: dict[relax.Var, relax.Call] = {}

    def handle(self, builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
        """Give the value to bind: a norm where one ends here."""
        found = self._layer_norm(value)
        if found is None:
            found = self._rms_norm(value)
        if not isinstance(value, relax.Call):
            return value
        bound = builder.emit(value if found is None else found)
        # Later matches look at the operators that were there, not at what became of them.
        self.of[bound] = value
        return bound

    def _layer_norm(self, value: relax.Expr) -> relax.Expr | None:
        """(x - mean) / sqrt(variance + epsilon) * gamma + beta."""
        shifted = self._with_vector(value, "add")
        if shifted is None:
            return None
        scaled = self._with_vector(shifted[0], "multiply")
        if scaled is None:
            return None
        parts = self._normalized(scaled[0])
        if parts is None:
            return None
        centred, squared, epsilon = parts
        data = self._centred(centred)
        if data is None or self._centred(squared) is None or not _same(self._centred(squared), data):
            return None
        gamma, beta = scaled[1], shifted[1]
        if not _fits(data, gamma) or not _fits(data, beta):
            return None
        return relax.op.nn.layer_norm(data, as_constant(gamma), as_constant(beta), axes=[-1], epsilon=epsilon)

    def _rms_norm(self, value: relax.Expr) -> relax.Expr | None:
        """X / sqrt(mean of squares + epsilon) * weight."""
        scaled = self._with_vector(value, "multiply")
        if scaled is None:
            return None
        parts = self._normalized(scaled[0])
        if parts is None or not _same(parts[0], parts[1]) or self._centred(parts[0]) is not None:
            return None
        data, _, epsilon = parts
        if not _fits(data, scaled[1]):
            return None
        return relax.op.nn.rms_norm(data, as_constant(scaled[1]), axes=[-1], epsilon=epsilon)

    def _normalized(self, expr: relax.Expr) -> tuple[relax.Expr, relax.Expr, float] | None:
        """Match y / sqrt(mean(z²) + epsilon), or its forms with a reciprocal root; give (y, z, epsilon)."""
        call = self._call(expr)
        name = op_name(call)
        if name == "relax.divide":
            root = self._call(call.args[1])
            inner = root.args[0] if op_name(root) == "relax.sqrt" else self._half_power(root, 0.5)
            return self._over_root(call.args[0], inner)
        if name == "relax.multiply":
            for data, factor in (call.args, call.args[::-1]):
                found = self._over_root(data, self._reciprocal_root(factor))
                if found is not None:
                    return found
        return None

    def _reciprocal_root(self, expr: relax.Expr) -> relax.Expr | None:
        """Give v of rsqrt(v), v ** -0.5 or 1 / sqrt(v)."""
        call = self._call(expr)
        if op_name(call) == "relax.rsqrt":
            return call.args[0]
        if op_name(call) == "relax.divide" and scalar(call.args[0]) == 1:
            root = self._call(call.args[1])
            return root.args[0] if op_name(root) == "relax.sqrt" else self._half_power(root, 0.5)
        return self._half_power(call, -0.5)

    def _half_power(self, call: relax.Expr, exponent: float) -> relax.Expr | None:
        is_power = op_name(call) == "relax.power" and scalar(call.args[1]) == exponent
        return call.args[0] if is_power else None

    def _over_root(
        self, data: relax.Expr, inner: relax.Expr | None
    ) -> tuple[relax.Expr, relax.Expr, float] | None:
        if inner is None:
            return None
        call = self._call(inner)
        if op_name(call) != "relax.add":
            return None
        for mean, offset in (call.args, call.args[::-1]):
            epsilon, averaged = scalar(offset), self._last_mean(mean)
            if epsilon is None or averaged is None:
                continue
            squared = self._squared(averaged)
            if squared is not None:
                return data, squared, epsilon
        return None

    def _squared(self, expr: relax.Expr) -> relax.Expr | None:
        call = self._call(expr)
        name = op_name(call)
        if name == "relax.square" or (name == "relax.power" and scalar(call.args[1]) == 2):
            return call.args[0]
        if name == "relax.multiply" and _same(call.args[0], call.args[1]):
            return call.args[0]
        return None

    def _centred(self, expr: relax.Expr) -> relax.Expr | None:
        """Give x of x - mean(x)."""
        call = self._call(expr)
        if op_name(call) != "relax.subtract":
            return None
        averaged = self._last_mean(call.args[1])
        return call.args[0] if averaged is not None and _same(averaged, call.args[0]) else None

    def _last_mean(self, expr: relax.Expr) -> relax.Expr | None:
        """Give x of mean(x) over the last axis, which is kept."""
        call = self._call(expr)
        if op_name(call) != "relax.mean" or call.attrs.axis is None or not call.attrs.keepdims:
            return None
        rank = len(shape_of(call.args[0]) or ())
        axes = [int(axis) % rank for axis in call.attrs.axis] if rank else []
        return call.args[0] if rank and axes == [rank - 1] else None

    def _with_vector(self, expr: relax.Expr, name: str) -> tuple[relax.Expr, Array] | None:
        """Match x + v (or x * v) with a constant vector over the last axis."""
        call = self._call(expr)
        if op_name(call) != f"relax.{name}":
            return None
        pick: Callable[[relax.Expr], Array | None] = constant
        for data, other in (call.args, call.args[::-1]):
            vector = pick(other)
            if vector is not None and vector.ndim and vector.size == vector.shape[-1]:
                return data, vector.reshape(-1)
        return None

    def _call(self, expr: relax.Expr) -> relax.Expr:
        return self.of.get(expr, expr) if isinstance(expr, relax.Var) else expr


def _same(left: relax.Expr, right: relax.Expr) -> bool:
    return left is right or left.same_as(right)


def _fits(data: relax.Expr, vector: Array) -> bool:
    """Whether a vector has one number for each column of float32 data."""
    shape = shape_of(data)
    return bool(shape) and shape is not None and shape[-1] == vector.size and str(data.ty.dtype) == "float32"
