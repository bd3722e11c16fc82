"""What `run` takes: a dict of numpy arrays by input name, checked and copied to where code reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec

Array = npt.NDArray[Any]
ARRAYS = (np.ndarray, np.generic)


def check_mapping(specs: Iterable[TensorSpec], feeds: Any) -> None:
    """Refuse inputs that do not come by name.

    Raises:
        RequestError: `feeds` is no mapping.
    """
    if type(feeds) is dict or isinstance(feeds, Mapping):
        return
    names = ", ".join(spec.name for spec in specs)
    raise RequestError(
        f"run takes a dict of numpy arrays by input name, not {_kind(feeds)}; the inputs are: {names}"
    )


def check_array(spec: TensorSpec, value: Any) -> None:
    """Refuse an input that is no numpy array.

    Raises:
        RequestError: says what it is, and how to make an array of it.
    """
    if isinstance(value, ARRAYS):
        return
    shape = ", ".join("?" if size is None else str(size) for size in spec.shape)
    raise RequestError(
        f"input {spec.name!r} is {_kind(value)}, expected a numpy array of {spec.dtype} [{shape}]"
        f"{_remedy(spec, value)}"
    )


class Inputs:
    """The inputs of one compiled shape."""

    def __init__(self, specs: tuple[TensorSpec, ...]) -> None:
        self.specs = specs
        self._named = tuple((spec, spec.name) for spec in specs)

    def copy(self, feeds: Any, buffers: Mapping[str, Array]) -> None:
        """Check all inputs and copy them to `buffers`.

        Raises:
            RequestError: one is missing, unknown, no array, or of another shape or dtype.
        """
        check_mapping(self.specs, feeds)
        for spec, name in self._named:
            array, buffer = feeds.get(name), buffers[name]
            # What is as it should be is told so at once: models of a few microseconds are run too.
            if type(array) is np.ndarray and array.shape == buffer.shape and array.dtype == buffer.dtype:
                np.copyto(buffer, array)
            else:
                self.copy_one(spec, self.value(spec, feeds), buffer)
        self.check_names(feeds)

    def value(self, spec: TensorSpec, feeds: Mapping[str, Any]) -> Any:
        """Give one input as it came.

        Raises:
            RequestError: it is missing.
        """
        if spec.name not in feeds:
            raise RequestError(f"input {spec.name!r} is missing; the inputs are: {self._names()}")
        return feeds[spec.name]

    def copy_one(self, spec: TensorSpec, array: Any, buffer: Array) -> None:
        """Check one input and copy it to where `main` reads it.

        Raises:
            RequestError: it is no array, or one of another shape or dtype.
        """
        if not isinstance(array, ARRAYS):
            check_array(spec, array)
        # The names are compared last: numpy makes them anew each time, and another byte order has the same.
        if array.dtype != buffer.dtype and array.dtype.name != spec.dtype:
            raise RequestError(f"input {spec.name!r} has dtype {array.dtype.name}, expected {spec.dtype}")
        if array.shape != spec.shape:
            raise RequestError(
                f"input {spec.name!r} has shape {list(array.shape)}, expected {list(spec.shape)}"
            )
        np.copyto(buffer, array)

    def check_names(self, feeds: Mapping[str, Any]) -> None:
        """Refuse what is more than the inputs, which are all there.

        Raises:
            RequestError: names the first that is unknown.
        """
        if len(feeds) != len(self.specs):
            unknown = sorted(map(str, feeds.keys() - {spec.name for spec in self.specs}))
            raise RequestError(f"unknown input {unknown[0]!r}; the inputs are: {self._names()}")

    def _names(self) -> str:
        return ", ".join(spec.name for spec in self.specs)


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _remedy(spec: TensorSpec, value: Any) -> str:
    if type(value).__module__.partition(".")[0] == "torch":
        return ": tensor.detach().cpu().numpy() gives one"
    if isinstance(value, list | tuple | int | float | bool):
        return f": np.asarray(value, {spec.dtype!r}) gives one"
    return ""
