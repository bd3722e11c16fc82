"""One set of inputs that every peer gets, shaped and valued like real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from benchmarks.zoo.vocabulary import VOCABULARY

Array = npt.NDArray[Any]


def model_feeds(path: Path, seed: int = 0) -> dict[str, Array]:
    """Make one array per input of an ONNX file, in the file's order.

    Floats are normal(0, 1), as normalised images are; `input_ids` are ids below the vocabulary's size; a mask
    is all ones; other integers are zero.

    Raises:
        ValueError: an input's shape is open.
    """
    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    rng = np.random.default_rng(seed)
    return {value.name: _feed(value, rng) for value in graph.input if value.name not in weights}


def save_feeds(path: Path, feeds: dict[str, Array]) -> None:
    """Write inputs for the peers' processes; numpy's own format keeps names and order."""
    # Names are given as a list: an input may have a name that numpy's function keeps for itself.
    np.savez(path, np.array(list(feeds)), *feeds.values())


def load_feeds(path: Path) -> dict[str, Array]:
    """Read what `save_feeds` wrote."""
    with np.load(path, allow_pickle=False) as file:
        names = file["arr_0"].tolist()
        return {name: file[f"arr_{place}"] for place, name in enumerate(names, start=1)}


def _feed(value: onnx.ValueInfoProto, rng: np.random.Generator) -> Array:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value for dim in kind.shape.dim)
    if not all(shape):
        raise ValueError(f"input {value.name!r} has an open shape")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    if value.name == "input_ids":
        return rng.integers(0, VOCABULARY, shape).astype(dtype)
    return np.full(shape, "mask" in value.name, dtype)
