"""Tensors in the content types of SageMaker: bodies to arrays, arrays to answers, by pure functions.

    application/json           {"inputs": {name: nested list}}, or {"inputs": nested list} for one input
    application/x-npy          one array, for a model of one input
    application/x-npz          several arrays by name
    application/octet-stream   little-endian bytes in row-major order, for a model of one input

JSON has no NaN and no infinity. A request that tries is refused; an answer that would need them is refused
with 406 and the advice to ask for x-npy: a `null` in their place would hide which of the three it was.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.wire.answer import JSON, NPY, NPZ, RAW, Answer, Headers, header, media_type
from modeldyno.serving.wire.nested import check_finite, from_lists
from modeldyno.serving.wire.npy import check_names, read_npy, read_npz, read_raw, shown
from modeldyno.serving.wire.tensor_json import read_json, write_json

CONTENT_TYPES = (JSON, NPY, NPZ, RAW)
_UNSUPPORTED_TYPE = 415


@dataclass(frozen=True)
class TensorCall:
    """One inference on tensors that came in one of the content types."""

    feeds: dict[str, np.ndarray]
    accept: str
    content_type: str
    outputs: tuple[TensorSpec, ...]
    timeout_s: float | None = None

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Write the answer in the type that was asked for."""
        return Answer(200, *encode(outputs, self.accept, self.content_type, self.outputs))


def read_tensors(
    body: bytes,
    headers: Headers,
    inputs: Sequence[TensorSpec],
    outputs: tuple[TensorSpec, ...],
    max_bytes: int,
) -> TensorCall:
    """Read a request in whichever content type its headers say.

    Raises:
        RequestError: whatever is wrong with it; nothing else.
    """
    content_type = header(headers, b"content-type")
    feeds = decode(body, content_type, inputs, max_bytes)
    return TensorCall(feeds, header(headers, b"accept"), content_type, outputs)


def decode(
    body: bytes, content_type: str, specs: Sequence[TensorSpec], max_bytes: int = 2**26
) -> dict[str, np.ndarray]:
    """Read a request body into arrays that follow `specs`; `max_bytes` limits what an npz unpacks to.

    Raises:
        RequestError: whatever is wrong with the body; nothing else.
    """
    kind = media_type(content_type)
    if kind not in CONTENT_TYPES:
        raise RequestError(
            f"unknown Content-Type {shown(content_type)}: expected {', '.join(CONTENT_TYPES)}",
            status=_UNSUPPORTED_TYPE,
        )
    if not body and kind != RAW:
        raise RequestError(f"the body is empty: expected {kind}")
    if kind == JSON:
        return read_json(body, "the body", lambda document: _feeds(document, specs))
    if kind == NPZ:
        return read_npz(body, specs, max_bytes)
    spec = _only(specs, kind)
    return {spec.name: read_npy(body, spec) if kind == NPY else read_raw(body, spec)}


def encode(
    outputs: dict[str, np.ndarray], accept: str, content_type: str, specs: Sequence[TensorSpec]
) -> tuple[bytes, str]:
    """Write an answer, and say its type: the first possible one of `accept`, else that of the request.

    Raises:
        RequestError: JSON is wanted and the numbers are not all finite (406).
    """
    kind = _answer_type(accept, media_type(content_type), len(specs))
    if kind == JSON:
        return _write_json(outputs, specs), kind
    if kind == NPZ:
        return _write_npz(outputs, specs), kind
    array = np.asarray(outputs[specs[0].name], order="C")
    return b"".join((_npy_head(array), array.data) if kind == NPY else (array.data,)), kind


def _only(specs: Sequence[TensorSpec], kind: str) -> TensorSpec:
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise RequestError(
            f"{kind} carries one array, this model takes {len(specs)} ({names}): send {NPZ} or {JSON}",
            status=_UNSUPPORTED_TYPE,
        )
    return specs[0]


def _answer_type(accept: str, asked: str, outputs: int) -> str:
    for entry in accept.split(","):
        kind = media_type(entry)
        if kind in CONTENT_TYPES and (outputs == 1 or kind not in (NPY, RAW)):
            return kind
    return NPZ if outputs != 1 and asked in (NPY, RAW) else asked


def _feeds(document: object, specs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    if not isinstance(document, dict) or set(document) != {"inputs"}:
        keys = ", ".join(map(shown, list(document)[:3])) if isinstance(document, dict) else shown(document)
        raise RequestError(f'expected {{"inputs": ...}} and no other key; found {keys or "{}"}')
    inputs = document["inputs"]
    if not isinstance(inputs, dict):
        inputs = {_only(specs, "a bare list").name: inputs}
    check_names(inputs, specs)
    return {spec.name: from_lists(inputs[spec.name], spec) for spec in specs}


def _write_json(outputs: dict[str, np.ndarray], specs: Sequence[TensorSpec]) -> bytes:
    for spec in specs:
        check_finite(outputs[spec.name], spec, f"Accept: {NPY} or {NPZ}")
    return write_json({"outputs": {spec.name: np.asarray(outputs[spec.name], order="C") for spec in specs}})


def _write_npz(outputs: dict[str, np.ndarray], specs: Sequence[TensorSpec]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for spec in specs:
            array = np.asarray(outputs[spec.name], order="C")
            with archive.open(f"{spec.name}.npy", "w") as member:
                member.write(_npy_head(array))
                member.write(array.data)
    return stream.getvalue()


def _npy_head(array: np.ndarray) -> bytes:
    return _npy_head_of(array.dtype.str, array.shape)


@lru_cache(maxsize=64)
def _npy_head_of(dtype: str, shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()
