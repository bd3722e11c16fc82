"""The Open Inference Protocol, version 2 (KServe, Triton) over HTTP, with Triton's binary tensor extension.

A request is a JSON document. With the header `Inference-Header-Content-Length: N` only its first N bytes are,
and the data of each input that has `binary_data_size` follows in order, little-endian and row-major; N = 0 is
the raw data of a model's only input and nothing else. Answers are made in the same way.

Pure functions: whatever is wrong with a request is a RequestError, and nothing else is raised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.protocols.repository import VERSION
from modeldyno.serving.wire.answer import RAW, Answer, Headers, header
from modeldyno.serving.wire.nested import check_finite, from_lists
from modeldyno.serving.wire.npy import check_names, check_shape, read_raw, shown, view, wanted
from modeldyno.serving.wire.tensor_json import Numbers, read_json, write_json

HEADER_LENGTH = b"inference-header-content-length"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
_DATATYPES = {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64"}
_MOST_DIGITS = 10
_LONGEST_ID = 1024
# Parameters that change what an answer means: served as if they were not there, it would be wrong.
_NOT_HERE = {
    "shared_memory_region": "shared memory is not supported: send the data in the body",
    "classification": "classification is not supported: ask for the tensor",
    "sequence_id": "sequences are not supported: this server keeps no state between requests",
}


@dataclass(frozen=True)
class InferCall:
    """One infer request; each wanted output with whether it is wanted in binary."""

    feeds: dict[str, np.ndarray]
    outputs: tuple[tuple[TensorSpec, bool], ...]
    model: str
    request_id: str | None = None
    timeout_s: float | None = None

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Write the answer: JSON, then the binary tensors."""
        entries, tail = [], []
        for spec, binary in self.outputs:
            array = np.asarray(outputs[spec.name], order="C")
            entry: dict[str, Any] = {
                "name": spec.name,
                "datatype": datatype(spec.dtype),
                "shape": list(array.shape),
            }
            if binary:
                entry["parameters"] = {"binary_data_size": array.nbytes}
                tail.append(array.data)
            else:
                check_finite(array, spec, "binary_data")
                entry["data"] = array.ravel()
            entries.append(entry)
        named = {} if self.request_id is None else {"id": self.request_id}
        head = write_json({"model_name": self.model, "model_version": VERSION, **named, "outputs": entries})
        if not tail:
            return Answer(200, head)
        return Answer(200, b"".join((head, *tail)), RAW, ((HEADER_LENGTH, str(len(head)).encode()),))


def read_infer(
    body: bytes, headers: Headers, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], model: str
) -> InferCall:
    """Read an infer request.

    Raises:
        RequestError: whatever is wrong with it; nothing else.
    """
    length = _header_length(headers, len(body))
    if length == 0:
        return _raw_only(body, inputs, outputs, model)

    def call(document: object) -> InferCall:
        if not isinstance(document, dict):
            raise RequestError(f'expected a JSON object with "inputs", found {type(document).__name__}')
        parameters = _parameters(document, "the request")
        return InferCall(
            _feeds(_list(document, "inputs"), body, length, inputs),
            _wanted_outputs(document, parameters, outputs),
            model,
            _request_id(document),
            _timeout_s(parameters),
        )

    return read_json(body[:length], "the request", call)


def datatype(dtype: str) -> str:
    """Name a numpy dtype in the protocol's words."""
    return _DATATYPES.get(dtype, dtype.upper())


def tensors(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    """Describe tensors in the protocol's words; -1 is any size, within the limits that are told beside it."""
    return [
        {
            "name": spec.name,
            "datatype": datatype(spec.dtype),
            "shape": [-1 if size is None else size for size in spec.shape],
            **({"parameters": {"limits": spec.limits}} if spec.limits else {}),
        }
        for spec in specs
    ]


def _header_length(headers: Headers, size: int) -> int:
    text = header(headers, HEADER_LENGTH).strip()
    if not text:
        return size or 1  # an empty body is no raw tensor but a missing document
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS) or int(text) > size:
        raise RequestError(
            f"Inference-Header-Content-Length is {shown(text)}: expected the bytes of the JSON document, "
            f"of the {size} bytes of this body"
        )
    return int(text)


def _raw_only(
    body: bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], model: str
) -> InferCall:
    if len(inputs) != 1:
        raise RequestError(
            f"a body without a JSON document carries one tensor, this model takes {len(inputs)}: "
            "send the document, and its length in Inference-Header-Content-Length"
        )
    feeds = {inputs[0].name: read_raw(body, inputs[0])}
    return InferCall(feeds, tuple((spec, True) for spec in outputs), model)


def _list(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = document.get(key)
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries
    ):
        raise RequestError(f"{key!r}: expected a list of objects, each with a name")
    if len({entry["name"] for entry in entries}) != len(entries):
        raise RequestError(f"{key!r} names a tensor twice")
    return entries


def _parameters(entry: dict[str, Any], whose: str) -> dict[str, Any]:
    parameters = entry.get("parameters")
    if parameters is None:  # as pydantic's clients write what is not set
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(f"parameters of {whose}: expected an object")
    for name, words in _NOT_HERE.items():
        if parameters.get(name):
            raise RequestError(f"parameters of {whose}: {words}")
    return parameters


def _request_id(document: dict[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is not None and not (isinstance(request_id, str) and len(request_id) <= _LONGEST_ID):
        raise RequestError(f"'id': expected text of {_LONGEST_ID} characters at most")
    return request_id


def _timeout_s(parameters: dict[str, Any]) -> float | None:
    timeout_us = parameters.get("timeout")
    if timeout_us is None:
        return None
    if type(timeout_us) is not int or not 0 <= timeout_us < 2**63:
        raise RequestError("parameter timeout: expected a whole number of microseconds")
    return timeout_us / 1e6 if timeout_us else None


def _feeds(
    entries: list[dict[str, Any]], body: bytes, offset: int, specs: Sequence[TensorSpec]
) -> dict[str, np.ndarray]:
    by_name = {spec.name: spec for spec in specs}
    check_names({entry["name"]: entry for entry in entries}, specs)
    feeds = {}
    for entry in entries:
        spec = by_name[entry["name"]]
        shape = _shape(entry, spec)
        size = _parameters(entry, f"input {spec.name!r}").get("binary_data_size")
        if size is None:
            feeds[spec.name] = _from_json(entry, shape, spec)
            continue
        dtype = np.dtype(spec.dtype).newbyteorder("<")
        needed = math.prod(shape) * dtype.itemsize
        if type(size) is not int or size != needed or entry.get("data") is not None:
            raise RequestError(
                f"input {spec.name!r}: expected binary_data_size {needed} and no data beside it, "
                f"found {shown(size)}"
            )
        if len(body) - offset < size:
            raise RequestError(f"input {spec.name!r}: {size} bytes should follow, {len(body) - offset} do")
        feeds[spec.name] = view(body, offset, shape, dtype, spec)
        offset += size
    if offset != len(body):
        raise RequestError(f"{len(body) - offset} bytes follow the last tensor")
    return feeds


def _shape(entry: dict[str, Any], spec: TensorSpec) -> list[int]:
    shape, found = entry.get("shape"), entry.get("datatype")
    if found != datatype(spec.dtype):
        raise RequestError(
            f"input {spec.name!r}: expected datatype {datatype(spec.dtype)}, found {shown(found)}"
        )
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**40 for size in shape):
        raise RequestError(f"input {spec.name!r}: 'shape' must be a list of sizes, for {wanted(spec)}")
    check_shape(shape, spec)
    return shape


def _from_json(entry: dict[str, Any], shape: list[int], spec: TensorSpec) -> np.ndarray:
    """Read `data`, which may be nested as the shape is or flat in row-major order."""
    data = entry.get("data")
    if isinstance(data, Numbers):
        flat = not data.nested
    elif isinstance(data, list):
        flat = not (data and isinstance(data[0], list))
    else:
        raise RequestError(f"input {spec.name!r} has neither 'data', a list, nor a binary_data_size")
    sizes = (math.prod(shape),) if flat else tuple(shape)
    exact = TensorSpec(name=spec.name, dtype=spec.dtype, shape=sizes)
    return from_lists(data, exact).reshape(shape)


def _wanted_outputs(
    document: dict[str, Any], parameters: dict[str, Any], specs: Sequence[TensorSpec]
) -> tuple[tuple[TensorSpec, bool], ...]:
    binary = parameters.get("binary_data_output", False) is True
    if not document.get("outputs"):
        return tuple((spec, binary) for spec in specs)
    by_name = {spec.name: spec for spec in specs}
    chosen = []
    for entry in _list(document, "outputs"):
        spec = by_name.get(entry["name"])
        if spec is None:
            raise RequestError(f"no output {shown(entry['name'])}: there are {', '.join(by_name)}")
        own = _parameters(entry, f"output {spec.name!r}")
        chosen.append((spec, own.get("binary_data", binary) is True))
    return tuple(chosen)
