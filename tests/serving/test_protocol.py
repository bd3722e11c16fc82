"""Bodies to arrays and back, without a server."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.wire.answer import JSON, NPY, NPZ, RAW
from modeldyno.serving.wire.contents import decode, encode
from tests.serving.helpers import from_npy, from_npz, npy, npz


def spec(dtype: str, *shape: int | None, name: str = "x") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def in_json(value: object) -> bytes:
    return json.dumps({"inputs": value}).encode()


def refused(body: bytes, kind: str, *specs: TensorSpec, max_bytes: int = 2**20) -> str:
    with pytest.raises(RequestError) as error:
        decode(body, kind, specs, max_bytes)
    assert 400 <= error.value.status < 500
    return str(error.value)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int64", "uint64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_rank_survives_every_type_there_and_back(dtype: str, shape: tuple[int, ...]) -> None:
    x = (np.arange(6)[: int(np.prod(shape))].reshape(shape) % 2).astype(dtype)
    specs = (spec(dtype, *shape),)
    for kind in (JSON, NPY, NPZ, RAW):
        body, found_kind = encode({"x": x}, "", kind, specs)
        assert found_kind == kind
        request = body.replace(b"outputs", b"inputs") if kind == JSON else body
        y = decode(request, kind, specs)["x"]
        assert (y.dtype, y.shape) == (x.dtype, shape)
        np.testing.assert_array_equal(y, x)


def test_float32_is_exact_in_json() -> None:
    x = np.random.default_rng(1).normal(size=100).astype(np.float32)
    body, _ = encode({"x": x}, JSON, NPY, (spec("float32", 100),))
    np.testing.assert_array_equal(np.float32(json.loads(body)["outputs"]["x"]), x)


def test_npy_and_raw_data_is_viewed_not_copied() -> None:
    x = np.zeros((512, 1024), np.float32)
    for body, kind in ((npy(x), NPY), (x.tobytes(), RAW)):
        tracemalloc.start()
        decode(body, kind, (spec("float32", None, 1024),))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < x.nbytes / 10


def test_other_layouts_of_npy_are_put_right() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for other in (np.asfortranarray(x), x.astype(">f4")):
        y = decode(npy(other), NPY, (spec("float32", 2, None),))["x"]
        np.testing.assert_array_equal(y, x)
        assert y.flags.c_contiguous
        assert y.dtype.isnative


def test_data_at_an_odd_address_is_put_right() -> None:
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}"
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack("<d", 2.5)
    y = decode(body, NPY, (spec("float64", 1),))["x"]
    assert (y.tolist(), y.flags.aligned) == ([2.5], True)


def test_one_free_size_is_worked_out_from_raw_bytes() -> None:
    assert decode(bytes(24), RAW, (spec("float32", None, 2),))["x"].shape == (3, 2)
    assert "can't say a shape with several free sizes" in refused(bytes(24), RAW, spec("float32", None, None))
    assert "expected 8 bytes, found 9" in refused(bytes(9), RAW, spec("float32", 1, 2))


@pytest.mark.parametrize(
    ("value", "want", "words"),
    [
        (
            [[1, None]],
            spec("float32", 1, 2),
            "expected float32 of shape (1, 2), found integer, null inside 2 lists",
        ),
        ([1.5, 2], spec("int64", 2), "found fraction, integer inside 1 lists"),
        ([1e20, 2], spec("int64", 2), "does not fit int64"),
        ([True], spec("float32", 1), "found boolean inside 1 lists"),
        ([1], spec("bool", 1), "found integer inside 1 lists"),
        ([[1]], spec("int64", 1), "found list inside 1 lists"),
        ([{}], spec("int64", 1), "found object inside 1 lists"),
        ([300], spec("int8", 1), "a number does not fit int8"),
        ([-1], spec("uint8", 1), "a number does not fit uint8"),
        ([2**70], spec("int64", 1), "a number does not fit int64"),
        ([10**400], spec("float64", 1), "a number does not fit float64"),
        ([1e39], spec("float32", 1), "a number does not fit float32"),
        ([7e4], spec("float16", 1), "a number does not fit float16"),
        ([1, 2, 3], spec("float32", 2), "expected float32 of shape (2,), found shape (3,)"),
    ],
)
def test_json_that_does_not_fit_says_what_was_found(value: object, want: TensorSpec, words: str) -> None:
    assert words in refused(in_json({"x": value}), JSON, want)


def test_json_takes_integers_for_floats_and_empty_batches() -> None:
    assert decode(in_json([1, 2.5]), JSON, (spec("float32", None),))["x"].tolist() == [1.0, 2.5]
    assert decode(in_json([]), JSON, (spec("float32", None, 4),))["x"].shape == (0, 4)


def test_one_long_string_among_many_values_takes_no_memory() -> None:
    """numpy alone would make every item as wide as the longest: 100 GB here."""
    body = in_json(["a" * 10**6, *["b"] * 25_000])
    assert "string inside 1 lists" in refused(body, JSON, spec("float32", None))


def test_deep_nesting_and_long_integers_are_refused() -> None:
    assert "no valid JSON" in refused(
        b'{"inputs":' + b"[" * 10**5 + b"]" * 10**5 + b"}", JSON, spec("bool", None)
    )
    assert "no valid JSON" in refused(b'{"inputs":[1' + b"0" * 10**5 + b"]}", JSON, spec("int64", None))


def test_a_shape_no_memory_could_hold_is_refused() -> None:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {2**70})}}".encode()
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head
    assert "expected float32 of shape (any, any)" in refused(body, NPY, spec("float32", None, None))


def test_a_bool_that_is_neither_0_nor_1_is_refused() -> None:
    assert "a bool must be 0 or 1" in refused(b"\x00\x02", RAW, spec("bool", 2))


def test_missing_and_unknown_inputs_are_named() -> None:
    two = (spec("float32", 1, name="a"), spec("float32", 1, name="b"))
    assert refused(npz(a=np.zeros(1, np.float32)), NPZ, *two) == "expected the inputs a, b; found 'a'"
    assert refused(in_json({"a": [1], "c": [1]}), JSON, *two) == "expected the inputs a, b; found 'a', 'c'"
    assert "send application/x-npz" in refused(in_json([1]), JSON, *two)


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    """The member unpacks to 4 MiB and says 100 bytes: reading stops at 100, and the checksum fails."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(np.zeros(2**20, np.float32)))
    size = struct.pack("<I", 4 * 2**20 + 128)
    assert stream.getvalue().count(size) == 2
    lying = stream.getvalue().replace(size, struct.pack("<I", 100))
    assert "no readable npz" in refused(lying, NPZ, spec("float32", None))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_compression_that_numpy_does_not_write_is_refused(method: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x.npy", npy(np.zeros(4, np.float32)))
    assert "use numpy.savez" in refused(stream.getvalue(), NPZ, spec("float32", None))


def test_too_many_members_are_refused_before_they_are_listed() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(2000):
            archive.writestr(f"{number}.npy", b"")
    assert refused(stream.getvalue(), NPZ, spec("float32", None)) == "the npz has too many members"


def test_compressed_npz_is_read() -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.arange(3))
    assert decode(stream.getvalue(), NPZ, (spec("int64", None),))["x"].tolist() == [0, 1, 2]


def test_one_array_types_become_npz_for_several_outputs() -> None:
    outputs = {"p": np.zeros(1), "file": np.ones(1)}
    specs = (spec("float64", 1, name="p"), spec("float64", 1, name="file"))
    body, kind = encode(outputs, RAW, NPY, specs)
    assert kind == NPZ
    assert {name: array.tolist() for name, array in from_npz(body).items()} == {"p": [0.0], "file": [1.0]}
    assert encode(outputs, f"{NPY}, {JSON}", NPY, specs)[1] == JSON


def test_a_transposed_output_is_written_in_row_order() -> None:
    x = np.arange(6, dtype=np.int32).reshape(2, 3).T
    want = (spec("int32", 3, 2),)
    assert encode({"x": x}, "", RAW, want)[0] == x.tobytes()
    np.testing.assert_array_equal(from_npy(encode({"x": x}, "", NPY, want)[0]), x)


def test_infinity_is_refused_in_json_with_406() -> None:
    with pytest.raises(RequestError, match="ask with Accept: application/x-npy") as error:
        encode({"x": np.array([np.inf])}, "", JSON, (spec("float64", 1),))
    assert error.value.status == 406
