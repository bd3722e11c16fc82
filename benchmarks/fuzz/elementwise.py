"""Operators of random graphs that work element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fuzz.graph import FLOATS, MOST_ELEMENTS, ONNX_TYPE, Array, Graph, Reject, sample

WHOLE = ("int32", "int64")


def unary(g: Graph) -> None:
    """Apply one of the functions of one number."""
    x = g.value(FLOATS)
    op = g.pick(
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Softplus",
        "Softsign",
        "Erf",
        "Abs",
        "Neg",
        "Sin",
        "Cos",
        "Atan",
        "Mish",
        "Celu",
        "ThresholdedRelu",
        "Exp",
        "Sinh",
        "Asinh",
        "Tan",
    )
    attrs: dict[str, Any] = {}
    if op in ("LeakyRelu", "Elu", "ThresholdedRelu", "Celu") and g.r.random() < 0.5:
        attrs["alpha"] = float(g.pick(0.1, 0.5, 1.5, 2.0))
    if op == "HardSigmoid" and g.r.random() < 0.5:
        attrs.update(alpha=0.3, beta=0.4)
    if op == "Mish" and g.opset < 18:
        raise Reject
    g.add(op, [x], jump=op == "ThresholdedRelu", **attrs)


def gelu(g: Graph) -> None:
    """Apply GELU, exact or by tanh."""
    if g.opset < 20:
        raise Reject
    g.add("Gelu", [g.value(FLOATS)], approximate=g.pick("none", "tanh"))


def rounding(g: Graph) -> None:
    """Round to whole numbers, or take the sign."""
    x = g.value(FLOATS)
    g.add(g.pick("Floor", "Ceil", "Round", "Sign"), [x], jump=True)


def positive(g: Graph) -> None:
    """Apply a function that needs positive numbers to |x| + 0.25."""
    (a,) = g.add("Abs", [g.value(FLOATS)])
    op = g.pick("Log", "Sqrt", "Reciprocal")
    (b,) = g.add("Add", [a, g.const(np.float32(0.25))])
    g.add(op, [b])


def other(g: Graph, a: Array) -> str:
    """Give a second operand that broadcasts with `a`: another value, or a constant."""
    dt = a.dtype.name
    if g.r.random() < 0.35:

        def fits(b: Array) -> bool:
            try:
                return bool(np.prod(np.broadcast_shapes(a.shape, b.shape)) <= MOST_ELEMENTS)
            except ValueError:
                return False

        return g.value((dt,), cond=fits)
    kind = g.i(0, 4)
    if kind == 0:
        shape: tuple[int, ...] = ()
    elif kind == 1:
        shape = a.shape
    else:
        k = g.i(0, a.ndim + 1)
        shape = tuple(s if g.r.random() < 0.5 else 1 for s in a.shape[a.ndim - k :])
        if kind == 3:
            shape = (1,) * g.i(0, 2) + shape
    return g.const(sample(g.r, shape, dt))


def binary(g: Graph) -> None:
    """Combine two or three tensors."""
    x = g.value((*FLOATS, *WHOLE))
    ints = g.v[x].dtype.kind == "i"
    y = other(g, g.v[x])
    op = (
        g.pick("Add", "Sub", "Mul", "Max", "Min")
        if ints
        else g.pick("Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum")
    )
    ins = [x, y] if g.r.random() < 0.6 else [y, x]
    if op in ("Max", "Min", "Sum", "Mean") and g.r.random() < 0.3:
        ins.append(other(g, g.v[x]))
    g.add(op, ins)


def div(g: Graph) -> None:
    """Divide by constants far from zero, or take the rest."""
    x = g.value((*FLOATS, *WHOLE))
    a = g.v[x]
    if a.dtype.kind == "i":
        d = sample(g.r, a.shape if g.r.random() < 0.5 else (), a.dtype.name)
        d = np.where(d == 0, 3, d).astype(a.dtype)
        if g.r.random() < 0.5:
            g.add("Div", [x, g.const(d)])
        else:
            g.add("Mod", [x, g.const(d)], fmod=g.i(0, 2))
    else:
        d = sample(g.r, a.shape[-1:] if a.ndim and g.r.random() < 0.5 else (), "float32")
        d = np.where(np.abs(d) < 0.3, 1.5, d).astype("float32")
        if g.r.random() < 0.7:
            g.add("Div", [x, g.const(d)])
        else:
            g.add("Mod", [x, g.const(d)], fmod=1, jump=True)


def power(g: Graph) -> None:
    """Raise |x| to a constant power."""
    (a,) = g.add("Abs", [g.value(FLOATS)])
    g.add("Pow", [a, g.const(np.float32(g.pick(2.0, 0.5, 3.0, 1.7)))])


def compare(g: Graph) -> None:
    """Compare, and choose by the result."""
    x = g.value((*FLOATS, *WHOLE))
    y = other(g, g.v[x])
    (b,) = g.add(g.pick("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"), [x, y], jump=True)
    if g.r.random() < 0.6:
        w = other(g, g.v[x])
        g.add("Where", [b, x, w] if g.r.random() < 0.5 else [b, w, x])


def logic(g: Graph) -> None:
    """Combine truth values."""
    x = g.value(("bool",))
    if g.r.random() < 0.3:
        g.add("Not", [x])
    else:
        g.add(g.pick("And", "Or", "Xor"), [x, other(g, g.v[x])])


def bits(g: Graph) -> None:
    """Combine the bits of whole numbers."""
    x = g.value(("int32", "int64"))
    if g.r.random() < 0.3:
        g.add("BitwiseNot", [x])
    else:
        g.add(g.pick("BitwiseAnd", "BitwiseOr", "BitwiseXor"), [x, other(g, g.v[x])])


def cast(g: Graph) -> None:
    """Convert to another type, and mostly back."""
    x = g.value()
    d = g.v[x].dtype.name
    if d == "float32":
        to = g.pick("int32", "int64", "bool", "float64", "float16", "uint8", "int8")
        if to in ("uint8", "int8"):
            lo, hi = (0, 255) if to == "uint8" else (-128, 127)
            (x,) = g.add("Clip", [x, g.const(np.float32(lo)), g.const(np.float32(hi))])
        (y,) = g.add("Cast", [x], jump=to not in ("float64", "float16"), to=ONNX_TYPE[to])
        if to in ("float64", "float16", "uint8", "int8"):
            g.add("Cast", [y], to=ONNX_TYPE["float32"])
    else:
        g.add("Cast", [x], to=ONNX_TYPE[g.pick("float32", "float32", "int64", "int32")])


def clip(g: Graph) -> None:
    """Cut off by one bound or both, crossed ones too."""
    x = g.value((*FLOATS, *WHOLE))
    d = g.v[x].dtype
    lo, hi = np.asarray(-1, d), np.asarray(2, d)
    if d.kind == "f":
        lo, hi = lo - d.type(0.25), hi - d.type(0.5)
    k = g.i(0, 4)
    ins = {
        0: [x, g.const(lo), g.const(hi)],
        1: [x, g.const(lo)],
        2: [x, "", g.const(hi)],
        3: [x, g.const(hi), g.const(lo)],
    }[k]
    g.add("Clip", ins)


def prelu(g: Graph) -> None:
    """Apply PRelu with slopes of several shapes."""
    x = g.value(FLOATS, min_rank=2)
    c = g.v[x].shape[1]
    s = g.pick((c,) + (1,) * (g.v[x].ndim - 2), (1,), g.v[x].shape[1:])
    g.add("PRelu", [x, g.const(sample(g.r, s, "float32"))])
