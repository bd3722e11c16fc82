"""Reductions of truth values, whole numbers, tensors without elements, and over no axis at all."""

from __future__ import annotations

import math

import numpy as np

from modeldyno.compiler.frontends.onnx.rules.graph import Refused, Writer

_OF_NOTHING = {"Max": -np.inf, "Min": np.inf, "Prod": 1, "LogSum": -np.inf, "LogSumExp": -np.inf}
_CHANGE_EACH = ("LogSum", "SumSquare", "L1", "L2")  # an element too, where nothing is reduced


def misread(w: Writer) -> bool:
    """Whether the front end gives another type or other numbers, or TVM's code would write nothing."""
    kind, dtype = _kind(w), w.dtype(w.input(0))
    if 0 in w.shape(w.input(0)) or dtype == np.bool_:
        return True
    if dtype.kind in "iu" and kind in ("Mean", "LogSum", "LogSumExp"):
        return True
    return kind in _CHANGE_EACH and _axes(w) == []


def reduction(w: Writer) -> list[str] | None:
    """Write what of the above the node is.

    Raises:
        Refused: a sum of exponentials of whole numbers.
    """
    kind, dtype, axes = _kind(w), w.dtype(w.input(0)), _axes(w)
    if axes is None:
        return None
    if 0 in w.shape(w.input(0)):
        return _of_nothing(w, kind, axes)
    if dtype == np.bool_:
        return _of_truth(w, axes)
    if kind in _CHANGE_EACH and not axes:
        return [_each(w, kind)]
    if dtype.kind in "iu":
        return _of_whole_numbers(w, kind, axes)
    return None


def _kind(w: Writer) -> str:
    return w.node.op_type.removeprefix("Reduce")


def _axes(w: Writer) -> list[int] | None:
    """Give the axes that are reduced, none where nothing is; None where they are not known."""
    rank = len(w.shape(w.input(0)))
    given = w.value(w.input(1)) if w.input(1) else w.attribute("axes", [])
    if given is None:
        return None
    every = [] if w.attribute("noop_with_empty_axes", 0) else list(range(rank))
    return [int(axis) % rank for axis in given] if rank and len(given) else every


def _keep(w: Writer) -> bool:
    return bool(w.attribute("keepdims", 1))


def _of_truth(w: Writer, axes: list[int]) -> list[str] | None:
    """Reduce truth values as small integers."""
    if _kind(w) not in ("Max", "Min"):
        return None
    if not axes:
        return [w.op("Identity", w.input(0))]
    found = w.reduce(w.node.op_type, w.cast(w.input(0), np.int32), axes, keep=_keep(w))
    return [w.cast(found, np.bool_)]


def _of_nothing(w: Writer, kind: str, axes: list[int]) -> list[str]:
    """Give what the reduction begins with."""
    shape, dtype = w.shape(w.input(0)), w.dtype(w.input(0))
    out = [1 if at in axes else size for at, size in enumerate(shape) if _keep(w) or at not in axes]
    begin = _OF_NOTHING.get(kind, 0)
    if dtype.kind in "iu" and not np.isfinite(begin):
        begin = np.iinfo(dtype).min if begin < 0 else np.iinfo(dtype).max
    return [w.op("Expand", w.const(begin, dtype), w.const(out))]


def _each(w: Writer, kind: str) -> str:
    """What the reduction makes of an element alone."""
    name, dtype = w.input(0), w.dtype(w.input(0))
    if kind == "SumSquare":
        return w.op("Mul", name, name)
    if kind == "LogSum":
        inner = dtype if dtype.kind == "f" else np.dtype(np.float64)
        logarithm = w.op("Log", w.cast(name, inner))
        return logarithm if inner == dtype else w.cast(logarithm, dtype)
    return w.op("Abs", name)


def _of_whole_numbers(w: Writer, kind: str, axes: list[int]) -> list[str] | None:
    """Reduce in the type itself, and cut off what is behind the point."""
    name, dtype = w.input(0), w.dtype(w.input(0))
    if kind == "LogSumExp":
        raise Refused(f"{dtype.name} is not supported; cast to float32 first")
    if kind not in ("Mean", "LogSum"):
        return None
    if not axes:
        return [w.op("Identity", name)]
    total = w.reduce("ReduceSum", name, axes, keep=_keep(w))
    if kind == "LogSum":
        return [w.cast(w.op("Log", w.cast(total, np.float64)), dtype)]
    count = math.prod(w.shape(name)[axis] for axis in axes)
    return [w.op("Div", total, w.const(count, dtype))]
