"""Arrays out of the nested lists of a JSON document, and numbers that JSON can't say."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.wire.npy import check_shape, wanted
from modeldyno.serving.wire.tensor_json import Numbers

_NOT_ACCEPTABLE = 406
_WORDS = {
    bool: "boolean",
    dict: "object",
    float: "fraction",
    int: "integer",
    list: "list",
    str: "string",
    type(None): "null",
}
_LEAVES: dict[str, set[type]] = {"f": {float, int}, "i": {int}, "u": {int}, "b": {bool}}


def check_finite(array: np.ndarray, spec: TensorSpec, instead: str) -> None:
    """Refuse numbers that JSON can't say; `instead` is what to ask for.

    Raises:
        RequestError: there is a NaN or an infinity (406).
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(
            f"output {spec.name!r} holds NaN or infinity, which JSON can't say: ask with {instead}",
            status=_NOT_ACCEPTABLE,
        )


def from_lists(value: object, spec: TensorSpec) -> np.ndarray:
    """Build an array from nested lists, or from `Numbers` that stand for them.

    Level by level: numpy would take strings for numbers and null for an object.

    Raises:
        RequestError: the lists don't follow `spec`.
    """
    if isinstance(value, Numbers):
        array = value.read(spec)
        check_shape(array.shape, spec)
        return array
    level: list[Any] = [value]
    shape: list[int] = []
    for axis, declared in enumerate(spec.shape):
        if set(map(type, level)) - {list}:
            raise _misfit(level, axis, spec)
        sizes = set(map(len, level)) or {declared or 0}
        if len(sizes) > 1:
            raise RequestError(
                f"input {spec.name!r}: expected {wanted(spec)}, "
                f"found lists of {min(sizes)} and {max(sizes)} items side by side at depth {axis + 1}"
            )
        shape.append(sizes.pop())
        level = level[0] if len(level) == 1 else list(chain.from_iterable(level))
    kind = np.dtype(spec.dtype).kind
    if kind in "iu" and float in set(map(type, level)):  # to JSON 2.0 is 2
        level = [int(item) if type(item) is float and item.is_integer() else item for item in level]
    if set(map(type, level)) - _LEAVES[kind]:
        raise _misfit(level, len(shape), spec)
    check_shape(shape, spec)
    return _numbers(level, spec).reshape(shape)


def _misfit(level: list[Any], depth: int, spec: TensorSpec) -> RequestError:
    words = ", ".join(sorted({_WORDS[type(item)] for item in level}))
    return RequestError(f"input {spec.name!r}: expected {wanted(spec)}, found {words} inside {depth} lists")


def _numbers(flat: list[Any], spec: TensorSpec) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    try:
        if dtype.kind != "f":
            return np.array(flat, dtype)
        with np.errstate(over="ignore"):
            array = np.array(flat, np.float64).astype(dtype, copy=False)
    except OverflowError as error:
        raise RequestError(f"input {spec.name!r}: a number does not fit {dtype}: {error}") from error
    if not np.isfinite(array).all():
        raise RequestError(f"input {spec.name!r}: a number does not fit {dtype}")
    return array
