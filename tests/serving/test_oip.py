"""The Open Inference Protocol without a server: what is read, what is refused, what is written."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.protocols.oip import HEADER_LENGTH, InferCall, datatype, read_infer
from modeldyno.serving.web.body import unpack
from modeldyno.serving.wire.answer import Headers

T = TypeVar("T")
X = np.arange(6, dtype=np.float32).reshape(2, 3)
XS = TensorSpec(name="x", dtype="float32", shape=(None, 3))
IDS = TensorSpec(name="ids", dtype="int64", shape=(2,))
Y = TensorSpec(name="y", dtype="float32", shape=(None, 3))


def entry(spec: TensorSpec, array: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"name": spec.name, "datatype": datatype(spec.dtype), "shape": list(array.shape), **more}


def in_json(spec: TensorSpec, array: np.ndarray, **more: Any) -> dict[str, Any]:
    return entry(spec, array, data=array.tolist(), **more)


def request(
    *inputs: dict[str, Any], tail: bytes = b"", binary: bool = False, **more: Any
) -> tuple[bytes, Headers]:
    head = json.dumps({"inputs": inputs, **more}).encode()
    return head + tail, {HEADER_LENGTH: str(len(head)).encode()} if binary or tail else {}


def outcome(act: Callable[[], T]) -> T | RequestError:
    try:
        return act()
    except RequestError as error:
        return error


def read(body: bytes, headers: Headers, *specs: TensorSpec) -> InferCall:
    return read_infer(body, headers, specs or (XS,), (Y,), "m")


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_rank_comes_nested_flat_and_binary(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(6)[: int(np.prod(shape))].reshape(shape) % 2).astype(dtype)
    spec = TensorSpec(name="x", dtype=dtype, shape=shape)
    size = {"parameters": {"binary_data_size": array.nbytes}}
    requests = [
        request(entry(spec, array, data=array.ravel().tolist())),
        request(entry(spec, array, **size), tail=array.tobytes(), binary=True),
        (array.tobytes(), {HEADER_LENGTH: b"0"}),
    ]
    if shape:
        requests.append(request(in_json(spec, array)))
    for body, headers in requests:
        found = read(body, headers, spec).feeds["x"]
        assert (found.dtype, found.shape) == (array.dtype, shape)
        np.testing.assert_array_equal(found, array)


def test_inputs_may_come_in_any_order_some_binary_some_not() -> None:
    ids = np.array([7, -8])
    body, headers = request(
        entry(IDS, ids, parameters={"binary_data_size": 16}), in_json(XS, X), tail=ids.tobytes()
    )
    feeds = read(body, headers, XS, IDS).feeds
    np.testing.assert_array_equal(feeds["x"], X)
    np.testing.assert_array_equal(feeds["ids"], ids)


def test_what_is_null_is_as_if_it_were_not_there() -> None:
    unset: dict[str, Any] = {"parameters": None, "id": None, "outputs": None}
    call = read(*request(in_json(XS, X, parameters=None), **unset))
    call = read(*request(in_json(XS, X, parameters=None), parameters=None, id=None, outputs=None))
    np.testing.assert_array_equal(call.feeds["x"], X)
    assert [spec.name for spec, _ in call.outputs] == ["y"]
    (one,) = read(*request(in_json(XS, X), outputs=[{"name": "y", "parameters": None}])).outputs
    assert one == (Y, False)
    size = {"parameters": {"binary_data_size": X.nbytes}}
    binary = read(*request(entry(XS, X, data=None, **size), tail=X.tobytes(), binary=True))
    np.testing.assert_array_equal(binary.feeds["x"], X)


def test_aligned_binary_data_is_viewed_not_copied() -> None:
    size = {"parameters": {"binary_data_size": X.nbytes}}
    head = json.dumps({"inputs": [entry(XS, X, **size)]}).encode()
    head += b" " * (-len(head) % 16)
    body = head + X.tobytes()
    found = read(body, {HEADER_LENGTH: str(len(head)).encode()}).feeds["x"]
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


def test_an_answer_says_nan_in_binary_and_refuses_it_in_json() -> None:
    nan = {"y": np.full((1, 3), np.nan, np.float32)}
    answer = read(*request(in_json(XS, X), parameters={"binary_data_output": True})).answer(nan)
    length = int(dict(answer.headers)[HEADER_LENGTH])
    assert np.isnan(np.frombuffer(answer.body[length:], np.float32)).all()
    with pytest.raises(RequestError, match="ask with binary_data") as error:
        read(*request(in_json(XS, X))).answer(nan)
    assert error.value.status == 406


GOOD = in_json(XS, X)
SIZED = entry(XS, X, parameters={"binary_data_size": 24})
BAD: dict[str, tuple[tuple[bytes, Headers], str]] = {
    "empty": ((b"", {}), "no valid JSON"),
    "no object": ((b"[]", {}), "expected a JSON object"),
    "no inputs": ((b"{}", {}), "'inputs': expected a list of objects"),
    "no name": (request({"data": []}), "'inputs': expected a list of objects"),
    "twice": (request(GOOD, GOOD), "names a tensor twice"),
    "unknown": (request({**GOOD, "name": "z"}), "expected the inputs x; found 'z'"),
    "datatype": (request({**GOOD, "datatype": "FP64"}), "expected datatype FP32, found 'FP64'"),
    "no shape": (request({**GOOD, "shape": None}), "'shape' must be a list of sizes"),
    "true": (request({**GOOD, "shape": [True, 3]}), "'shape' must be a list of sizes"),
    "huge": (request({**GOOD, "shape": [10**4000, 3]}), "'shape' must be a list of sizes"),
    "shape": (request({**GOOD, "shape": [3, 2]}), "expected float32 of shape (any, 3), found shape (3, 2)"),
    "count": (request({**GOOD, "shape": [3, 3]}), "expected float32 of shape (3, 3), found shape (2, 3)"),
    "no data": (request(entry(XS, X)), "neither 'data', a list, nor a binary_data_size"),
    "both": (request({**SIZED, "data": []}, tail=bytes(24)), "no data beside it"),
    "size": (request(SIZED, tail=bytes(23)), "24 bytes should follow, 23 do"),
    "rest": (request(SIZED, tail=bytes(25)), "1 bytes follow the last tensor"),
    "length": ((b"{}", {HEADER_LENGTH: b"3"}), "Inference-Header-Content-Length is '3'"),
    "minus": ((b"{}", {HEADER_LENGTH: b"-1"}), "Inference-Header-Content-Length is '-1'"),
    "raw": ((bytes(13), {HEADER_LENGTH: b"0"}), "expected a multiple of 12 bytes, found 13"),
    "output": (request(GOOD, outputs=[{"name": "z"}]), "no output 'z': there are y"),
    "id": (request(GOOD, id=7), "'id': expected text"),
    "timeout": (request(GOOD, parameters={"timeout": "1"}), "whole number of microseconds"),
    "shared": (
        request({**GOOD, "parameters": {"shared_memory_region": "r"}}),
        "parameters of input 'x': shared memory is not supported",
    ),
    "classes": (
        request(GOOD, outputs=[{"name": "y", "parameters": {"classification": 3}}]),
        "parameters of output 'y': classification is not supported",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_told_what_is_wrong(case: str) -> None:
    (body, headers), words = BAD[case]
    with pytest.raises(RequestError) as error:
        read(body, headers)
    assert words in str(error.value)
    assert error.value.status == 400


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)
KEYS = st.sampled_from(["name", "datatype", "shape", "data", "parameters", "id", "inputs", "outputs"])
SEEDS = [request(GOOD), request(SIZED, tail=X.tobytes()), (X.tobytes(), {HEADER_LENGTH: b"0"})]


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Headers]:
    """A good request, some of its keys given other values, then some of its bytes and its length changed."""
    document: dict[str, Any] = {"inputs": [dict(draw(st.sampled_from([GOOD, SIZED])))]}
    document["inputs"][0].update(draw(st.dictionaries(KEYS, VALUES, max_size=2)))
    document.update(draw(st.dictionaries(KEYS, VALUES, max_size=2)))
    body, headers = draw(st.sampled_from([*SEEDS, (json.dumps(document).encode() + bytes(24), {})]))
    data = bytearray(body)
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    length = draw(st.just(headers.get(HEADER_LENGTH, b"")) | st.binary(max_size=4))
    length = draw(st.sampled_from([length, str(max(0, len(data) - 24)).encode(), b"0"]))
    return bytes(data), {HEADER_LENGTH: length}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=requests(), specs=st.sampled_from([(XS,), (XS, IDS), (IDS,)]))
@example(made=SEEDS[0], specs=(XS,))
@example(made=SEEDS[1], specs=(XS,))
def test_whatever_the_bytes_are_it_is_arrays_or_a_request_error(
    made: tuple[bytes, Headers], specs: tuple[TensorSpec, ...]
) -> None:
    call = outcome(lambda: read(*made, *specs))
    if isinstance(call, RequestError):
        assert call.status == 400
        assert len(str(call)) < 1000
        return
    for spec in specs:
        array = call.feeds[spec.name]
        assert array.dtype == np.dtype(spec.dtype)
        assert array.flags.c_contiguous
        assert array.flags.aligned
        assert all(want in (None, size) for want, size in zip(spec.shape, array.shape, strict=True))
    assert call.answer({"y": X}).status == 200


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=64), encoding=st.sampled_from([b"gzip", b"deflate", b"br", b"\xff", b""]))
def test_whatever_is_packed_unpacks_within_the_limit_or_is_refused(body: bytes, encoding: bytes) -> None:
    plain = outcome(lambda: unpack({b"content-encoding": encoding}, body, 64))
    if isinstance(plain, RequestError):
        assert plain.status in {400, 413, 415}
    else:
        assert len(plain) <= 64


def test_a_bomb_is_unpacked_no_further_than_the_limit() -> None:
    bomb = gzip.compress(bytes(2**26))
    tracemalloc.start()
    try:
        with pytest.raises(RequestError, match="unpacks to more than 65536 bytes") as error:
            unpack({b"content-encoding": b"gzip"}, bomb, 2**16)
        assert tracemalloc.get_traced_memory()[1] < 2**19
    finally:
        tracemalloc.stop()
    assert error.value.status == 413
