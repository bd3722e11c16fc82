"""The answers of both sides to the same bodies: which of them are the same, and which can't be compared."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldyno.gate.exact.decode import decoded
from modeldyno.gate.exact.outputs import answers, compare_outputs, outputs_of
from modeldyno.loadgen.payloads.body import JSON, NPY, NPZ, Payload, npy_body, npz_body
from modeldyno.loadgen.server.single import Reply
from tests.serving.helpers import serving

X = np.array([[1.0, -2.0, 0.5]], np.float32)


def npy(array: Any) -> Reply:
    return Reply(200, NPY, npy_body(np.asarray(array)))


def as_json(value: Any) -> Reply:
    return Reply(200, JSON, json.dumps(value).encode())


def text(words: str, kind: str = "text/csv") -> Reply:
    return Reply(200, kind, words.encode())


def same(before: Reply, now: Reply, again: Reply | None = None) -> bool:
    return compare_outputs([before], [now], again=[again] if again else None).same


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param(npy(X), npy(X), True, id="equal"),
        pytest.param(npy(X), npy(X + np.float32(0.0019)), True, id="below 1e-3 of 2"),
        pytest.param(npy(X), npy(X + np.float32(0.0021)), False, id="above"),
        pytest.param(npy(X), npy(X.astype(np.float64)), False, id="another type"),
        pytest.param(npy(X), npy(X[0]), False, id="another shape"),
        pytest.param(npy([NAN, INF, 1.0]), npy([NAN, INF, 1.0]), True, id="NaN equals NaN"),
        pytest.param(npy([NAN, 1.0]), npy([1.0, NAN]), False, id="NaN elsewhere"),
        pytest.param(npy([INF, 1.0]), npy([-INF, 1.0]), False, id="the other infinity"),
        pytest.param(npy([1.0, 1.0]), npy([1.0, INF]), False, id="infinite"),
        pytest.param(npy([0.0, 0.0]), npy([0.0, 1e-20]), True, id="beside zeros, nothing"),
        pytest.param(npy([0.0, 0.0]), npy([0.0, 1e-3]), False, id="beside zeros, something"),
        pytest.param(npy(np.array([3, 4])), npy(np.array([3, 4])), True, id="whole numbers"),
        pytest.param(npy(np.array([3000, 4])), npy(np.array([3001, 4])), False, id="whole numbers are equal"),
        pytest.param(npy(np.array([True])), npy(np.array([False])), False, id="bool"),
        pytest.param(npy(np.array([1 + 2j])), npy(np.array([1 + 3j])), False, id="complex"),
        pytest.param(npy(np.empty((0, 3))), npy(np.empty((0, 3))), True, id="nothing in it"),
        pytest.param(
            npy(np.array([1.0, 2.0], np.float16)),
            npy(np.array([1.0, 2.001], np.float16)),
            True,
            id="half precision",
        ),
        pytest.param(as_json({"y": [[1.0, 2.0]]}), as_json({"y": [[1.0, 2.001]]}), True, id="JSON"),
        pytest.param(as_json({"y": [[1.0, 2.0]]}), as_json({"y": [[1.0, 2.1]]}), False, id="JSON differs"),
        pytest.param(
            as_json({"y": [1, 2]}), as_json({"y": [1.0, 2.0]}), True, id="JSON has one kind of number"
        ),
        pytest.param(as_json({"y": [1, 2]}), as_json({"y": [1, 3]}), False, id="JSON whole numbers"),
        pytest.param(as_json({"y": [1], "z": 1}), as_json({"y": [1]}), False, id="an output less"),
        pytest.param(
            as_json({"y": [[1.0], [2.0, 3.0]]}), as_json({"y": [[1.0], [2.0, 4.0]]}), False, id="ragged"
        ),
        pytest.param(as_json({"label": "cat"}), as_json({"label": "dog"}), False, id="text in JSON"),
        pytest.param(as_json([2**70]), as_json([2**70 + 1]), False, id="huge"),
        pytest.param(as_json({}), as_json({}), True, id="an empty object"),
        pytest.param(as_json({}), as_json([]), False, id="another kind of nothing"),
        pytest.param(text("1.0,2.0\n"), text("1.0,2.001\n"), True, id="CSV"),
        pytest.param(text("1.0,2.0\n"), text("1.0,3.0\n"), False, id="CSV differs"),
        pytest.param(text("a b"), text("a c"), False, id="words"),
        pytest.param(text("\x00\x01", "image/png"), text("\x00\x01", "image/png"), True, id="bytes"),
        pytest.param(text("\x00\x01", "image/png"), text("\x00\x02", "image/png"), False, id="other bytes"),
        pytest.param(npy(X), as_json(X.tolist()), False, id="another content type"),
        pytest.param(Reply(200, JSON, b"{cut"), Reply(200, JSON, b"{cut"), True, id="no JSON"),
        pytest.param(Reply(200, NPZ, b"PK\x03\x04"), Reply(200, NPZ, b"PK\x03\x04"), True, id="no npz"),
        pytest.param(Reply(200, NPY, b"\x93NUMPY"), Reply(200, NPY, b"\x93NUMPX"), False, id="no npy"),
        pytest.param(Reply(200, JSON, b"[" * 9999), Reply(200, JSON, b"[" * 9998), False, id="nested"),
    ],
)
def test_answers_are_compared_by_what_they_hold(before: Reply, now: Reply, expected: bool) -> None:
    assert same(before, now) is expected


def test_pickled_objects_are_not_read() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    (leaf,) = decoded(NPY, stream.getvalue()).values()
    assert isinstance(leaf, str)


def test_the_largest_difference_its_array_and_its_body_are_named() -> None:
    before = [Reply(200, NPZ, npz_body({"y": X, "z": X}))] * 2
    now = [before[0], Reply(200, NPZ, npz_body({"y": X, "z": X + np.float32(0.001)}))]
    found = compare_outputs(before, now)
    assert found.same
    assert found.text == (
        "the answers are the same within 0.001; largest difference: z by 0.0005 of its largest value (body 2)"
    )
    worse = compare_outputs(before, [now[0], Reply(200, NPZ, npz_body({"y": X, "z": 2 * X}))])
    assert worse.text == (
        "the candidate answers otherwise: z by 1 of its largest value (body 2); tolerance 0.001"
    )


def test_a_request_that_only_the_candidate_fails_is_a_difference() -> None:
    found = compare_outputs([npy(X)], [Reply(500, JSON, b'{"error": "no"}\nmore')])
    assert not found.same
    assert 'HTTP 500 where the baseline answers: {"error": "no"}' in found.text
    assert "no answer where the baseline answers" in compare_outputs([npy(X)], [Reply(0)]).text


def test_what_the_baseline_refuses_is_not_compared() -> None:
    refused = Reply(400, JSON, b"{}")
    found = compare_outputs([refused, npy(X)], [npy(X), npy(X)])
    assert found.same
    assert found.undecided == "the baseline refuses 1 of 2 bodies"
    assert compare_outputs([refused], [refused]).text == "nothing was compared"


def test_random_outputs_are_compared_by_shape_alone_and_that_is_said() -> None:
    first, again, other = (as_json({"noise": [[value, 1.0]], "y": [1.0]}) for value in (0.1, 0.2, 0.3))
    found = compare_outputs([first], [other], again=[again])
    assert found.same
    assert found.undecided == "the baseline's own answers differ from one request to the next in noise"
    assert not same(first, as_json({"noise": [[0.3, 1.0]], "y": [2.0]}), again)
    assert not same(first, as_json({"noise": [[0.3]], "y": [1.0]}), again)
    assert not same(first, other, first)


def test_two_real_servers_are_compared(models: Path, artifact: Path, tmp_path: Path) -> None:
    bodies = [Payload(npy_body(np.full((1, 8), value, np.float32)), NPY) for value in (1, 2)]
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    with (
        serving(models / "tiny.onnx", folders[0]) as model,
        serving(artifact, folders[1]) as compiled,
        serving(models / "other.onnx", folders[2]) as other,
    ):
        urls = [f"http://127.0.0.1:{each.port}/invocations" for each in (model, compiled, other)]
        right, wrong = (outputs_of(urls[0], url, bodies) for url in urls[1:])
    assert right.same, right.text
    assert right.bodies == 2
    assert not wrong.same
    assert answers(urls[0], bodies[:1])[0].status < 0


def test_nothing_heavy_is_imported_to_compare() -> None:
    code = "import sys, modeldyno.gate.exact.outputs, modeldyno.gate.exact.rules; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert {"tvm", "torch", "onnx", "onnxruntime", "pandas"} & set(done.stdout.split()) == set()
