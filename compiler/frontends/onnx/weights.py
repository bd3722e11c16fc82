"""The weights of ONNX files: read from beside the file, mapped where they are large, given to ONNX Runtime.

Protobuf holds 2 GiB. A larger model keeps its weights out of the message: as a map of its files, and ONNX
Runtime gets them as arrays by name. External data lies beside the file as it was named: in Hugging Face's
cache that is a link beside a link, whose targets lie elsewhere and are called otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from modeldyno.base.errors import ModelError
from modeldyno.base.process.quiet import silent_stderr
from modeldyno.compiler.model.arrays import Array

PROTOBUF_LIMIT_BYTES = (1 << 31) - (1 << 20)  # with some room for names and types
CANT_LOAD = "ONNX Runtime can't load the model"
# ONNX Runtime joins quantised operators in ways that round otherwise, quantises float weights between pairs
# by one scale for all of a tensor, and leaves constants quantised: none of that where this is "1".
NO_QUANTISING = ("session.disable_quant_qdq", "1")
_SHORT = 1024  # numbers: what may be axes, sizes or a shape, and computed with while shapes are inferred


@dataclass(frozen=True)
class Loaded:
    """A model, the weights that are not in it, and the files beside it that weights lie in."""

    model: onnx.ModelProto
    mapped: dict[str, Array]
    files: tuple[Path, ...]


def load(path: Path) -> Loaded:
    """Read a model and its external data; of 2 GiB and more the data stays in its files, mapped.

    Raises:
        ModelError: no ONNX, or its external data is missing, too short, or outside its folder.
    """
    model = _without_data(path)
    external = [tensor for tensor in _tensors(model) if _is_external(tensor)]
    parts = [_External.of(path, tensor) for tensor in external]
    large = sum(part.length for part in parts) >= PROTOBUF_LIMIT_BYTES
    inside = {tensor.name for tensor in model.graph.initializer}
    mapped = {}
    for tensor, part in zip(external, parts, strict=True):
        if large and tensor.name in inside and _is_plain(tensor):
            mapped[tensor.name] = part.map(tensor)
        else:
            tensor.raw_data = part.read()
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return Loaded(model, mapped, tuple(_files(parts).values()))


def external_files(path: Path) -> dict[str, Path]:
    """Give the files beside a model that its weights lie in, by the names that the model has for them.

    Raises:
        ModelError: no ONNX, or its external data is missing, too short, or outside its folder.
    """
    tensors = _tensors(_without_data(path))
    return _files(_External.of(path, tensor) for tensor in tensors if _is_external(tensor))


def _without_data(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, which does not say "ONNX"
        raise ModelError(
            f"{path} is no readable ONNX file (truncated, or another format): {error}"
        ) from error


def _files(parts: Iterable[_External]) -> dict[str, Path]:
    files = {part.shown: part.file for part in parts}
    return {name: files[name] for name in sorted(files)}


@dataclass(frozen=True)
class _External:
    """Where a tensor's bytes lie."""

    file: Path
    shown: str
    offset: int
    length: int

    @classmethod
    def of(cls, path: Path, tensor: onnx.TensorProto) -> _External:
        said = {entry.key: entry.value for entry in tensor.external_data}
        shown = said.get("location", "")
        place = Path(shown)
        if not shown or place.is_absolute() or ".." in place.parts:
            raise ModelError(
                f"{path}: the external data of {tensor.name!r} is said to be in {shown!r}, which is not "
                "beside the model; save the model again with its data in the same folder"
            )
        file = path.parent / place
        if not file.is_file():
            raise ModelError(
                f"{path}: its external data is missing: {file} (weights of {tensor.name!r}); it was saved "
                f"beside the model and has to lie there: copy {shown} too"
            )
        offset = int(said.get("offset", 0))
        length = int(said.get("length", 0)) or file.stat().st_size - offset
        if offset + length > file.stat().st_size:
            raise ModelError(
                f"{path}: its external data is cut off: {file} has {file.stat().st_size} bytes, and "
                f"{tensor.name!r} ends at {offset + length}; copy it again"
            )
        return cls(file, shown, offset, length)

    def read(self) -> bytes:
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.length)

    def map(self, tensor: onnx.TensorProto) -> Array:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        if not math.prod(tensor.dims):
            return np.empty(tuple(tensor.dims), dtype)
        return np.memmap(self.file, dtype, "r", self.offset, tuple(tensor.dims))


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _is_plain(tensor: onnx.TensorProto) -> bool:
    """Whether numpy has the element type itself, so that a file can be seen as it."""
    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).isbuiltin == 1 and (
        tensor.data_type != onnx.TensorProto.STRING
    )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _of_graph(graph)


def size_bytes(model: onnx.ModelProto) -> int:
    """Size of a model as a message, which protobuf can't tell of more than it can hold."""
    weights = sum(len(tensor.raw_data) or tensor.ByteSize() for tensor in model.graph.initializer)
    return weights + sum(node.ByteSize() for node in model.graph.node)


def is_large(model: onnx.ModelProto) -> bool:
    """Whether a model, weights included, is more than a message of protobuf's holds."""
    return size_bytes(model) >= PROTOBUF_LIMIT_BYTES


def open_session(
    path: Path,
    model: onnx.ModelProto,
    options: onnxruntime.SessionOptions,
    mapped: Mapping[str, Array] | None = None,
) -> onnxruntime.InferenceSession:
    """Make a session; ONNX Runtime's errors become ours here and nowhere else. `path` is what they name.

    Raises:
        ModelError: ONNX Runtime can't load the model.
    """
    arrays = dict(mapped or {})
    if is_large(model):
        model, more = _detached(model)
        arrays |= more
    if arrays:
        kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        values = [
            onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, kinds[name])
            for name, array in arrays.items()
        ]
        options.add_external_initializers(list(arrays), values)
    try:
        with silent_stderr():  # some kernels log when they are made, whatever the options say
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
    except Exception as error:
        text = str(error).replace("\n", " ")
        raise ModelError(f"{path}: {CANT_LOAD}: {text}") from error


def _detached(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Give the graph with names in place of its weights, and these as arrays over the same memory."""
    light = skeleton(model)
    arrays = {}
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _SHORT and _is_plain(tensor):
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
            arrays[tensor.name] = np.frombuffer(tensor.raw_data, dtype).reshape(tuple(tensor.dims))
            named = light.graph.initializer.add(
                name=tensor.name, data_type=tensor.data_type, dims=tensor.dims
            )
            named.data_location = onnx.TensorProto.EXTERNAL
            named.external_data.add(key="location", value="weights")
        else:
            light.graph.initializer.append(tensor)
    return light, arrays


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a copy of a model without its initializers."""
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name
    for field in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(light.graph, field).extend(getattr(model.graph, field))
    return light


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the graph with its weights as inputs: shapes depend on short lists alone, which stay.

    Shape inference copies what it is given several times, and weights can be gigabytes.
    """
    light = skeleton(model)
    named = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SHORT and not _is_external(tensor):
            light.graph.initializer.append(tensor)
        elif tensor.name not in named:
            light.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return light
