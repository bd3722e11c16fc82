from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import TensorSpec
from modeldyno.loadgen.payloads.body import Payload, payload_for, payload_from_file


def spec(name: str, dtype: str, *shape: int | None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def test_one_input_becomes_an_npy_file_with_free_dimensions_as_1() -> None:
    payload = payload_for((spec("x", "float32", None, 3, 224),), seed=0)
    array = np.load(io.BytesIO(payload.body), allow_pickle=False)
    assert payload.content_type == "application/x-npy"
    assert (array.dtype, array.shape) == (np.float32, (1, 3, 224))
    assert abs(float(array.mean())) < 0.2
    assert float(array.std()) == pytest.approx(1, abs=0.2)


def test_several_inputs_become_an_npz_file_by_name() -> None:
    inputs = (spec("ids", "int64", 1, 64), spec("mask", "bool", 1, 64), spec("x", "float16", 2))
    payload = payload_for(inputs, seed=0)
    with np.load(io.BytesIO(payload.body), allow_pickle=False) as arrays:
        assert {name: arrays[name].dtype.name for name in arrays.files} == {
            "ids": "int64",
            "mask": "bool",
            "x": "float16",
        }
        assert set(arrays["ids"].ravel().tolist()) == {0, 1}
        assert set(arrays["mask"].ravel().tolist()) == {False, True}
    assert payload.content_type == "application/x-npz"


def test_the_same_seed_gives_the_same_bytes() -> None:
    inputs = (spec("a", "float32", 8), spec("b", "int32", 8))
    assert payload_for(inputs, seed=1) == payload_for(inputs, seed=1)
    assert payload_for(inputs, seed=1) != payload_for(inputs, seed=2)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "no inputs"),
        ((spec("x", "str", 1),), "type str for input 'x'"),
        ((spec("x", "bfloat16", 1),), "type bfloat16 for input 'x'"),
        ((spec("x", "float64", 10**6, 10**6),), "at most 256 can be sent"),
    ],
)
def test_inputs_that_cannot_be_drawn_are_refused(inputs: tuple[TensorSpec, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        payload_for(inputs, seed=0)


def test_the_content_type_of_a_file_follows_its_ending_unless_given(tmp_path: Path) -> None:
    path = tmp_path / "body.json"
    path.write_bytes(b"{}")
    assert payload_from_file(path) == Payload(b"{}", "application/json")
    assert payload_from_file(path, "text/plain").content_type == "text/plain"


def test_payload_files_that_cannot_be_sent_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").touch()
    (tmp_path / "what").write_bytes(b"1")
    for name, message in (
        ("missing.npy", "cannot read"),
        ("empty.npy", "is empty"),
        ("what", "`content_type`"),
    ):
        with pytest.raises(ConfigError, match=message):
            payload_from_file(tmp_path / name)
