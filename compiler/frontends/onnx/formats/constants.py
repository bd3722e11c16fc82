"""Constants of an ONNX graph by name, read when they are asked for: those around a body too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from modeldyno.compiler.model.arrays import Array


class Constants(Mapping[str, Array]):
    """Initializers of a graph, and constants that its nodes give."""

    def __init__(self, graph: onnx.GraphProto, around: Mapping[str, Array] | None = None) -> None:
        self._around = around or {}
        self._tensors = {
            tensor.name: tensor
            for tensor in graph.initializer
            if tensor.data_location != onnx.TensorProto.EXTERNAL
        }
        for node in graph.node:
            value = next((each.t for each in node.attribute if each.name == "value"), None)
            if node.op_type == "Constant" and value is not None:
                self._tensors[node.output[0]] = value
        self._read: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        """Give the values of a constant."""
        if name not in self._tensors:
            return self._around[name]
        if name not in self._read:
            self._read[name] = np.asarray(numpy_helper.to_array(self._tensors[name]))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        """Give the names."""
        return iter(dict.fromkeys((*self._tensors, *self._around)))

    def __len__(self) -> int:
        """Count them."""
        return len(dict.fromkeys((*self._tensors, *self._around)))
