"""The discrete Fourier transform as one product with a constant matrix."""

from __future__ import annotations

import numpy as np

from modeldyno.compiler.frontends.onnx.rules.graph import Writer
from modeldyno.compiler.model.arrays import Array

MOST_POINTS = 1024  # the matrix has 4 numbers for each pair of points: 16 MiB of float32


def dft(w: Writer) -> list[str] | None:
    """Multiply by cosines and sines: real and imaginary parts lie side by side in the last axis."""
    x = w.input(0)
    shape = w.shape(x)
    place = _axis(w, len(shape))
    if place is None or shape[-1] not in (1, 2):
        return None
    given, parts = shape[place], shape[-1]
    points = given
    if w.input(1):
        length = w.value(w.input(1))
        if length is None:
            return None
        points = int(length)
    inverse, onesided = bool(w.attribute("inverse", 0)), bool(w.attribute("onesided", 0))
    if max(points, given) > MOST_POINTS or (onesided and (inverse or parts == 2)):
        return None
    kept = points // 2 + 1 if onesided else points
    matrix = _matrix(points, inverse=inverse)[: min(given, points), :parts, :kept]
    matrix = np.pad(matrix, [(0, given - len(matrix)), (0, 0), (0, 0), (0, 0)])
    order = [axis for axis in range(len(shape)) if axis != place]
    order.insert(len(order) - 1, place)
    rest = [shape[axis] for axis in order[:-2]]
    flat = w.reshape(w.transpose(x, order), (-1, given * parts))
    product = w.op("MatMul", flat, w.const(matrix.reshape(given * parts, kept * 2), w.dtype(x)))
    found = w.reshape(product, (*rest, kept, 2))
    return [w.transpose(found, [order.index(axis) for axis in range(len(shape))])]


def _axis(w: Writer, rank: int) -> int | None:
    """Where the signal lies: an attribute up to opset 19, an input since."""
    if w.opset < 20:
        return int(w.attribute("axis", 1)) % rank
    if not w.input(2):
        return rank - 2
    given = w.value(w.input(2))
    return None if given is None else int(given) % rank


def _matrix(points: int, *, inverse: bool) -> Array:
    """Give [time, its part, frequency, its part]: what each part of the signal adds to each of the result."""
    turns = np.outer(np.arange(points), np.arange(points)) % max(points, 1)
    angles = turns * (2 * np.pi / points) * (1 if inverse else -1)
    cosines, sines = np.cos(angles), np.sin(angles)
    of_real = np.stack([cosines, sines], -1)
    of_imaginary = np.stack([-sines, cosines], -1)
    return np.stack([of_real, of_imaginary], 1) / (points if inverse else 1)
