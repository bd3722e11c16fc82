from __future__ import annotations

import json
from pathlib import Path

import pytest

from modeldyno.base.errors import LoadTestError
from modeldyno.base.process.procs import free_port
from modeldyno.base.records.record import TensorSpec
from modeldyno.loadgen.server.signature import (
    fetch_signature,
    parse_signature,
    payload_from_server,
    why_not_joined,
)
from tests.loadgen.stub import stub_server


def test_the_inputs_are_learnt_from_the_server(tmp_path: Path) -> None:
    with stub_server(tmp_path) as server:
        inputs = fetch_signature(server.url)
        payload = payload_from_server(server.url, seed=3)
        with pytest.raises(LoadTestError, match=r"other/v2/models/model: HTTP 404: .*`payload`"):
            fetch_signature(server.url.replace("/invocations", "/other/invocations"))
    assert inputs == (TensorSpec(name="x", dtype="float32", shape=(None, 4)),)
    assert payload.content_type == "application/x-npy"


def test_a_server_that_tells_nothing_of_joined_requests_gives_no_reason(tmp_path: Path) -> None:
    with stub_server(tmp_path) as server:
        assert why_not_joined(server.url) is None
    assert why_not_joined(f"http://127.0.0.1:{free_port()}/invocations") is None


def test_a_server_that_is_not_there_is_said_so() -> None:
    with pytest.raises(LoadTestError, match="Connection refused"):
        payload_from_server(f"http://127.0.0.1:{free_port()}/invocations", seed=0)


def test_data_types_of_the_protocol_get_numpys_names() -> None:
    names = {"BOOL": "bool", "UINT8": "uint8", "INT64": "int64", "FP16": "float16", "FP64": "float64"}
    inputs = [{"name": kind, "datatype": kind, "shape": [1]} for kind in names]
    parsed = parse_signature(json.dumps({"inputs": inputs}).encode())
    assert [spec.dtype for spec in parsed] == list(names.values())


@pytest.mark.parametrize(
    ("told", "smallest"),
    [
        ([[2, 8], None], (2, 4)),
        (None, (1, 4)),
        ([[2, 8]], (1, 4)),
        ([[8, 2], None], (1, 4)),
        ([[2], None], (1, 4)),
        ([["2", "8"], None], (1, 4)),
        ("2..8", (1, 4)),
    ],
)
def test_limits_are_read_where_they_are_told_in_our_words(told: object, smallest: tuple[int, ...]) -> None:
    entry = {"name": "x", "datatype": "FP32", "shape": [-1, 4], "parameters": {"limits": told}}
    (spec,) = parse_signature(json.dumps({"inputs": [entry]}).encode())
    assert spec.smallest == smallest
    assert parse_signature(json.dumps({"inputs": [{**entry, "parameters": 7}]}).encode())[0].limits == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1]}]}',
        '{"inputs": [1]}',
        '{"inputs": []}',
    ],
)
def test_answers_that_do_not_follow_the_protocol_raise_what_is_mapped(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse_signature(text.encode())
