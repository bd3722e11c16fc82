"""The axes of an artifact of several shapes, as a request meets them: read off its arrays, padded and cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.records.buckets import Axis, Place
from modeldyno.runtime.sessions.bucket_plan import fitting
from modeldyno.runtime.sessions.inputs import check_array, check_mapping

Array = npt.NDArray[Any]
Feeds = dict[str, Array]
Sizes = tuple[int, ...]  # one of each axis


class Axes:
    """The axes and the dimensions of inputs and outputs that have them."""

    def __init__(self, inputs: tuple[TensorSpec, ...], axes: tuple[Axis, ...]) -> None:
        self._inputs = inputs
        self._dtypes = {spec.name: np.dtype(spec.dtype) for spec in inputs}
        self._axes = axes
        self._of_input = _places(axis.inputs for axis in axes)
        self._of_output = _places(axis.outputs for axis in axes)
        # The axis along which a request may be run in pieces; a model has one first dimension at the most.
        self.split = next((index for index, axis in enumerate(axes) if axis.splits), None)

    def __getitem__(self, index: int) -> Axis:
        return self._axes[index]

    def read(self, feeds: Feeds) -> Sizes:
        """Check the arrays against the signature and give the size of each axis.

        Raises:
            RequestError: an input is missing, unknown, of another dtype or shape, or differs from another.
        """
        check_mapping(self._inputs, feeds)
        names = ", ".join(spec.name for spec in self._inputs)
        found: dict[int, tuple[int, str]] = {}
        for spec in self._inputs:
            if spec.name not in feeds:
                raise RequestError(f"input {spec.name!r} is missing; the inputs are: {names}")
            array = feeds[spec.name]
            _check(spec, self._dtypes[spec.name], array)
            for dimension, size in enumerate(array.shape):
                axis = self._of_input.get((spec.name, dimension))
                if axis is None:
                    continue
                first, where = found.setdefault(axis, (size, spec.name))
                if first != size:
                    raise RequestError(
                        f"input {spec.name!r} has size {size} in dimension {dimension}, and {where!r} has "
                        f"{first} for the same axis ({self._axes[axis].name}): they must be equal"
                    )
        if len(feeds) != len(self._inputs):
            unknown = sorted(map(str, feeds.keys() - {spec.name for spec in self._inputs}))
            raise RequestError(f"unknown input {unknown[0]!r}; the inputs are: {names}")
        return tuple(found[axis][0] for axis in range(len(self._axes)))

    def fits(self, sizes: Sizes) -> Sizes:
        """Give the compiled size for each of a request's; the largest where that has to be split.

        Raises:
            RequestError: a size is out of range.
        """
        return tuple(_fit(axis, size) for axis, size in zip(self._axes, sizes, strict=True))

    def shapes(self, sizes: Sizes) -> dict[str, Sizes]:
        """Give the inputs' shapes for one size of each axis."""
        return {
            spec.name: tuple(
                size if size is not None else sizes[self._of_input[spec.name, at]]
                for at, size in enumerate(spec.shape)
            )
            for spec in self._inputs
        }

    def rows(self, feeds: Feeds, begin: int, end: int) -> Feeds:
        """Give a piece of a request."""
        return {
            name: array[begin:end] if self._of_input.get((name, 0), -1) == self.split else array
            for name, array in feeds.items()
        }

    def cuts(self, name: str, shape: Sizes, wanted: Sizes, bucket: Sizes) -> Iterator[slice]:
        """Give the part of a padded output that belongs to the request."""
        for dimension, size in enumerate(shape):
            axis = self._of_output.get((name, dimension))
            # A dimension may hold several for each row: boxes of all images, one image behind another.
            yield slice(size if axis is None else size // bucket[axis] * wanted[axis])

    def most_rows(self) -> int | None:
        """Give the number of rows up to which every number is taken; None: there is none, or no such axis."""
        rows = next((a for a in self._axes if any(not place.dimension for place in a.inputs)), None)
        if rows is None or rows.splits:
            return None
        if rows.padded:
            return rows.sizes[-1]
        return next(size for size in (0, *rows.sizes) if size + 1 not in rows.sizes) or 1


def sizes_text(axis: Axis) -> str:
    """Word the sizes that an axis takes."""
    if not axis.padded:
        return f"exactly {' or '.join(map(str, axis.sizes))}"
    return f"{axis.low} to {axis.sizes[-1]}" + (", and more in several runs" if axis.splits else "")


def shown_sizes(sizes: Sizes) -> str:
    """Name a bucket by the size of each axis: 8x128."""
    return "x".join(map(str, sizes))


def fill(buffer: Array, array: Array) -> None:
    """Copy `array` into the corner of a buffer of the same rank, and zeros into the rest."""
    if buffer.shape == array.shape:
        np.copyto(buffer, array)
        return
    buffer[tuple(slice(size) for size in array.shape)] = array
    for dimension, size in enumerate(array.shape):
        buffer[(*(slice(None),) * dimension, slice(size, None))] = 0


def _places(places: Iterable[tuple[Place, ...]]) -> dict[tuple[str, int], int]:
    """Find the axis of a dimension, as its index."""
    return {(one.tensor, one.dimension): index for index, found in enumerate(places) for one in found}


def _fit(axis: Axis, size: int) -> int:
    fit = fitting(size, axis.sizes) if axis.padded else size if size in axis.sizes else None
    if fit is None and axis.splits:
        fit = axis.sizes[-1]
    if fit is None or size < axis.low:
        first = axis.inputs[0]
        raise RequestError(
            f"input {first.tensor!r} has size {size} in dimension {first.dimension} ({axis.name}); "
            f"this artifact takes {sizes_text(axis)}"
        )
    return fit


def _check(spec: TensorSpec, dtype: np.dtype[Any], array: Array) -> None:
    check_array(spec, array)
    # The names are compared last: numpy makes them anew each time, and another byte order has the same.
    if array.dtype != dtype and array.dtype.name != spec.dtype:
        raise RequestError(f"input {spec.name!r} has dtype {array.dtype.name}, expected {spec.dtype}")
    fits = len(array.shape) == len(spec.shape) and all(
        want is None or size == want for size, want in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        shown = ", ".join("?" if size is None else str(size) for size in spec.shape)
        raise RequestError(f"input {spec.name!r} has shape {list(array.shape)}, expected [{shown}]")
