"""What `run` takes: a dict of numpy arrays by input name, and what to say of anything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec

ARRAYS = (np.ndarray, np.generic)


def check_mapping(specs: Iterable[TensorSpec], feeds: Any) -> None:
    """Refuse inputs that do not come by name.

    Raises:
        RequestError: `feeds` is no mapping.
    """
    if isinstance(feeds, Mapping):
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
