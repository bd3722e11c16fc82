"""Whatever the bytes are: arrays that follow the specs, or a RequestError."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.wire.answer import JSON, NPY, NPZ, RAW
from modeldyno.serving.wire.contents import CONTENT_TYPES, decode
from tests.serving.helpers import npy, npz

MAX_BYTES = 4096
SEEDS = [
    npy(np.zeros((2, 3), np.float32)),
    npy(np.zeros((2, 3), ">i8")),
    npz(x=np.zeros((2, 3), np.float32)),
    npz(x=np.ones((2, 3), bool), y=np.zeros(1)),
    b'{"inputs": {"x": [[1, 2.5, 3], [4, 5, 6]]}}',
    b'{"inputs": [[true, false, null], ["a", {}, 1e400]]}',
]
SPECS = st.lists(
    st.builds(
        TensorSpec,
        name=st.sampled_from(["x", "y", "\u00fc/0"]),
        dtype=st.sampled_from(["bool", "int8", "uint64", "int64", "float16", "float32", "float64"]),
        shape=st.lists(st.sampled_from([None, 0, 1, 2, 3]), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda spec: spec.name,
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y", "inputs"]), inner),
    max_leaves=12,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid body with some bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 3)))
        data[start:stop] = draw(st.binary(max_size=4))
    return bytes(data)


BODIES = st.one_of(
    damaged(), st.binary(max_size=64), JSON_VALUES.map(lambda value: json.dumps({"inputs": value}).encode())
)
FLOATS = [TensorSpec(name="x", dtype="float32", shape=(None, None))]


def outcome(body: bytes, kind: str, specs: list[TensorSpec]) -> dict[str, np.ndarray] | RequestError:
    try:
        return decode(body, kind, specs, MAX_BYTES)
    except RequestError as error:
        return error


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, kind=st.sampled_from([*CONTENT_TYPES, "", "text/plain"]), specs=SPECS)
@example(body=SEEDS[0], kind=NPY, specs=FLOATS)
@example(body=SEEDS[2], kind=NPZ, specs=FLOATS)
@example(body=SEEDS[4], kind=JSON, specs=FLOATS)
@example(body=b"", kind=RAW, specs=FLOATS)
def test_nothing_but_a_request_error_escapes(body: bytes, kind: str, specs: list[TensorSpec]) -> None:
    feeds = outcome(body, kind, specs)
    if isinstance(feeds, RequestError):
        assert feeds.status in {400, 413, 415}
        assert len(str(feeds)) < 1000
        return
    assert list(feeds) == [spec.name for spec in specs]
    for spec in specs:
        array = feeds[spec.name]
        assert array.dtype == np.dtype(spec.dtype)
        assert len(array.shape) == len(spec.shape)
        assert all(want in (None, size) for want, size in zip(spec.shape, array.shape, strict=True))
        assert array.flags.c_contiguous
        assert array.flags.aligned
