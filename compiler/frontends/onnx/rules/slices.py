"""Slices with constant bounds that TVM refuses or counts otherwise than ONNX Runtime.

ONNX Runtime clamps the begin to the axis. The largest number as an end means all that is left, also where the
step is negative. What ends before it begins is empty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modeldyno.compiler.frontends.onnx.rules.graph import Writer

_TO_THE_END = (np.iinfo(np.int32).max, np.iinfo(np.int64).max)
_ALL_BEFORE = int(np.iinfo(np.int64).min)


class _Part(NamedTuple):
    begin: int
    end: int
    axis: int
    step: int


def slice_misread(w: Writer) -> bool:
    """Whether the front end would read another part."""
    return _changed(w) is not None


def plain_slice(w: Writer) -> list[str] | None:
    """Write the bounds so that they mean the same to all; None where they do."""
    changed = _changed(w)
    if changed is None:
        return None
    dtype = w.dtype(w.input(1))
    columns = zip(*changed, strict=True)
    return [w.op("Slice", w.input(0), *(w.const(column, dtype) for column in columns))]


def _changed(w: Writer) -> list[_Part] | None:
    given = _given(w)
    read = [_as_read(part, w) for part in given or ()]
    return None if given is None or read == given else read


def _given(w: Writer) -> list[_Part] | None:
    """Give the constant bounds of each axis; None where they are not."""
    names = [w.input(place) for place in range(1, 5)]
    begins, ends, axes, steps = (w.value(name) if name else None for name in names)
    missing = (names[2] and axes is None) or (names[3] and steps is None)
    if begins is None or ends is None or missing:
        return None
    count = begins.size
    columns = (
        begins,
        ends,
        np.arange(count) if axes is None else axes,
        np.ones(count, int) if steps is None else steps,
    )
    return [_Part(*map(int, part)) for part in zip(*(column.reshape(-1) for column in columns), strict=True)]


def _as_read(part: _Part, w: Writer) -> _Part:
    """Give a part in bounds that TVM reads as ONNX Runtime reads the given ones."""
    size, back = w.shape(w.input(0))[part.axis], part.step < 0
    begin = part.begin + size if part.begin < 0 else part.begin
    begin = min(max(begin, 0), size - 1 if back else size)
    if part.end in _TO_THE_END:
        end = -1 if back else size
    else:
        end = part.end + size if part.end < 0 else part.end
        end = min(max(end, -1 if back else 0), size)
    if size == 0 or (end >= begin if back else begin >= end):
        return part if begin == end and not back else _Part(0, 0, part.axis, 1)
    if back and (part.end in _TO_THE_END or part.begin < -size):
        return part._replace(begin=begin, end=_ALL_BEFORE if end < 0 else end)
    return part
