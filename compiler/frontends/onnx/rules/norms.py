"""Normalizations by their definition, where the front end leaves outputs out or knows fewer cases."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from modeldyno.compiler.frontends.onnx.rules.graph import Writer


def layer_norm(w: Writer) -> list[str] | None:
    """Give Y, mean and the inverse of the deviation."""
    name = w.input(0)
    shape, dtype = w.shape(name), w.dtype(name)
    axes = list(range(int(w.attribute("axis", -1)) % len(shape), len(shape)))
    data = w.cast(name, np.float32) if dtype == np.float16 else name
    inner = np.float32 if dtype == np.float16 else dtype
    mean = w.reduce("ReduceMean", data, axes)
    centred = w.op("Sub", data, mean)
    variance = w.reduce("ReduceMean", w.op("Mul", centred, centred), axes)
    inverse = _inverse_root(w, variance, inner)
    scaled = w.op("Mul", centred, inverse)
    scaled = w.cast(scaled, dtype) if inner != dtype else scaled
    out = w.op("Mul", scaled, w.input(1))
    return [w.op("Add", out, w.input(2)) if w.input(2) else out, mean, inverse]


def rms_norm(w: Writer) -> list[str] | None:
    """Divide by the root of the mean square."""
    name = w.input(0)
    shape, dtype = w.shape(name), w.dtype(name)
    axes = list(range(int(w.attribute("axis", -1)) % len(shape), len(shape)))
    inner = np.float32 if dtype == np.float16 else dtype
    data = w.cast(name, inner) if inner != dtype else name
    inverse = _inverse_root(w, w.reduce("ReduceMean", w.op("Mul", data, data), axes), inner)
    scaled = w.op("Mul", data, inverse)
    scaled = w.cast(scaled, dtype) if inner != dtype else scaled
    return [w.op("Mul", scaled, w.input(1))]


def group_norm(w: Writer) -> list[str] | None:
    """Normalize groups of channels; scale and shift each channel (each group before opset 21)."""
    name = w.input(0)
    shape, dtype, groups = w.shape(name), w.dtype(name), int(w.attribute("num_groups"))
    batch, channels = shape[:2]
    size = channels // groups * math.prod(shape[2:])
    data = w.reshape(name, (batch, groups, size))
    centred = w.op("Sub", data, w.reduce("ReduceMean", data, [2]))
    inverse = _inverse_root(w, w.reduce("ReduceMean", w.op("Mul", centred, centred), [2]), dtype)
    scaled = w.op("Mul", centred, inverse)
    if w.shape(w.input(1)) == (groups,) and groups != channels:
        each = (1, groups, 1)
        scaled = w.op("Add", w.op("Mul", scaled, w.reshape(w.input(1), each)), w.reshape(w.input(2), each))
        return [w.reshape(scaled, shape)]
    per = (1, channels, *(1 for _ in shape[2:]))
    whole = w.reshape(scaled, shape)
    return [w.op("Add", w.op("Mul", whole, w.reshape(w.input(1), per)), w.reshape(w.input(2), per))]


def _inverse_root(w: Writer, variance: str, dtype: npt.DTypeLike) -> str:
    epsilon = w.const(float(w.attribute("epsilon", 1e-5)), dtype)
    return w.op("Div", w.const(1, dtype), w.op("Sqrt", w.op("Add", variance, epsilon)))
