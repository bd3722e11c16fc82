"""A real server process, asked over HTTP."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import socket
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modeldyno.base.errors import RequestError
from modeldyno.serving.web.body import unpack
from tests.serving import models
from tests.serving.helpers import (
    JSON,
    NPY,
    NPZ,
    RAW,
    Server,
    ask,
    from_npy,
    from_npz,
    multiplications,
    npy,
    npz,
    serving,
    wait_until,
)

X = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
PAIR = {"a": np.ones((2, 3), np.float32), "ids": np.array([3, -5]), "keep": np.array(True)}
MIB = 2**20


@pytest.fixture(scope="module")
def matmul_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.matmul(tmp_path_factory.mktemp("matmul") / "matmul.onnx")


@pytest.fixture(scope="module")
def server(matmul_path: Path) -> Iterator[Server]:
    with serving(matmul_path, matmul_path.parent, "--max-body-mib", "1") as running:
        yield running


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pair")
    with serving(models.pair(folder / "pair.onnx"), folder) as running:
        yield running


@pytest.fixture(scope="module")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("picky")
    with serving(models.picky(folder / "picky.onnx"), folder) as running:
        yield running


@pytest.fixture(scope="module")
def expected(matmul_path: Path) -> np.ndarray:
    y: np.ndarray = ort.InferenceSession(str(matmul_path)).run(None, {"x": X})[0]
    return y


def counts(server: Server) -> dict[str, float]:
    """Every sample of /metrics; labels are part of the name."""
    text = server.ask("GET", "/metrics").body.decode()
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_content_type_answers_the_numbers_of_onnxruntime(server: Server, expected: np.ndarray) -> None:
    bodies = {NPY: npy(X), NPZ: npz(x=X), RAW: X.tobytes(), JSON: json.dumps({"inputs": {"x": X.tolist()}})}
    found = {}
    for kind, body in bodies.items():
        reply = server.infer(body, kind)
        assert (reply.status, reply.headers["content-type"]) == (200, kind)
        found[kind] = reply
    np.testing.assert_array_equal(from_npy(found[NPY].body), expected)
    np.testing.assert_array_equal(from_npz(found[NPZ].body)["y"], expected)
    np.testing.assert_array_equal(np.frombuffer(found[RAW].body, "<f4").reshape(2, 3), expected)
    np.testing.assert_array_equal(np.float32(found[JSON].json()["outputs"]["y"]), expected)


def test_a_bare_list_is_enough_for_one_input(server: Server) -> None:
    reply = server.infer(json.dumps({"inputs": [[1, 0, 0, 0]]}), JSON)
    assert reply.json() == {"outputs": {"y": [[0.0, 0.125, 0.25]]}}  # the first row of WEIGHTS


def test_accept_chooses_the_type_of_the_answer(server: Server, expected: np.ndarray) -> None:
    reply = server.infer(X.tobytes(), f"{RAW}; charset=binary", accept=f"text/html, {NPY};q=0.9, */*")
    assert reply.headers["content-type"] == NPY
    np.testing.assert_array_equal(from_npy(reply.body), expected)
    assert server.infer(npy(X), NPY, accept="text/html").headers["content-type"] == NPY


def test_several_inputs_and_outputs_through_json_and_npz(pair: Server) -> None:
    """1 + 3 - 5 = -1 everywhere, which is not over 0."""
    lists = {name: array.tolist() for name, array in PAIR.items()}
    in_json = pair.infer(json.dumps({"inputs": lists}), JSON)
    assert in_json.json() == {"outputs": {"total": [[-1.0] * 3] * 2, "over": [[False] * 3] * 2}}
    in_npz = pair.infer(npz(**{**PAIR, "ids": np.array([3])}), NPZ)
    outputs = from_npz(in_npz.body)
    assert outputs["total"].tolist() == [[4.0] * 3] * 2
    assert outputs["over"].all()
    assert outputs["over"].dtype == bool
    assert pair.infer(npz(**PAIR), NPZ, accept=NPY).headers["content-type"] == NPZ


def test_metadata_follows_the_open_inference_protocol(server: Server, pair: Server) -> None:
    assert server.ask("GET", "/v2/models/model").json() == {
        "name": "model",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }
    inputs = pair.ask("GET", "/v2/models/model").json()["inputs"]
    assert [(entry["datatype"], entry["shape"]) for entry in inputs] == [
        ("FP32", [2, 3]),
        ("INT64", [-1]),
        ("BOOL", []),
    ]


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    return stream.getvalue()


def bomb() -> bytes:
    """8 MiB of zeros in 8 kB; the limit of the server is 1 MiB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(np.zeros((2**19, 4), np.float32)))
    return stream.getvalue()


BAD = {
    "shape": (npy(X.T), NPY, 400, "expected float32 of shape (any, 4), found shape (4, 2)"),
    "rank": (json.dumps({"inputs": [1, 2]}), JSON, 400, "found integer inside 1 lists"),
    "ragged": (json.dumps({"inputs": [[1] * 4, [1]]}), JSON, 400, "lists of 1 and 4 items side by side"),
    "dtype": (npy(X.astype(np.float64)), NPY, 400, "found dtype 'float64'"),
    "string": (json.dumps({"inputs": [["1", 2, 3, 4]]}), JSON, 400, "string inside 2 lists"),
    "bytes": (X.tobytes()[:-1], RAW, 400, "expected a multiple of 16 bytes, found 31"),
    "type": (b"x=1", "text/plain", 415, "unknown Content-Type 'text/plain'"),
    "no type": (b"x=1", "", 415, "unknown Content-Type ''"),
    "size": (bytes(MIB + 16), RAW, 413, "larger than the limit of 1048576 bytes"),
    "stream": ([bytes(MIB // 4)] * 5, RAW, 413, "larger than the limit of 1048576 bytes"),
    "json": (b'{"inputs": [[1, 2', JSON, 400, "no valid JSON"),
    "nan": (b'{"inputs": [[NaN, 1, 1, 1]]}', JSON, 400, "no valid JSON"),
    "key": (b'{"inputs": [[1, 1, 1, 1]], "parameters": {}}', JSON, 400, "no other key"),
    "name": (b'{"inputs": {"z": [[1, 1, 1, 1]]}}', JSON, 400, "expected the inputs x; found 'z'"),
    "empty": (b"", JSON, 400, "the body is empty"),
    "truncated npy": (npy(X)[:-3], NPY, 400, "32 bytes of data, 29 follow"),
    "no npy": (b"hello", NPY, 400, "no readable npy"),
    "pickled npy": (pickled(), NPY, 400, "pickled Python objects"),
    "pickled npz": (npz(x=np.array([{}], dtype=object)), NPZ, 400, "pickled Python objects"),
    "truncated npz": (npz(x=X)[:-9], NPZ, 400, "cut short"),
    "zip bomb": (bomb(), NPZ, 413, "unpacks to more than 1048576 bytes"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_a_json_error_and_the_server_lives_on(server: Server, case: str) -> None:
    body, kind, status, words = BAD[case]
    reply = server.infer(iter(body) if isinstance(body, list) else body, kind)
    assert reply.status == status
    assert words in reply.error
    assert server.infer(npy(X), NPY).status == 200


def test_a_compressed_body_is_unpacked_up_to_the_limit_of_plain_ones(
    server: Server, expected: np.ndarray
) -> None:
    for kind, packed in (("gzip", gzip.compress(npy(X))), ("deflate", zlib.compress(npy(X)))):
        np.testing.assert_array_equal(
            from_npy(server.infer(packed, NPY, content_encoding=kind).body), expected
        )
    bomb = gzip.compress(bytes(64 * MIB))
    assert len(bomb) < MIB
    reply = server.infer(bomb, RAW, content_encoding="gzip")
    assert (reply.status, reply.error) == (413, "the body unpacks to more than 1048576 bytes")


def test_a_gzip_body_may_be_of_several_members_and_padded_with_zeros(server: Server) -> None:
    body = npy(X)
    packed = gzip.compress(body[:70]) + gzip.compress(b"") + gzip.compress(body[70:]) + bytes(9)
    assert (
        from_npy(server.infer(packed, NPY, content_encoding="gzip").body).shape == (X @ models.WEIGHTS).shape
    )


def test_a_gzip_body_of_members_without_end_is_refused_and_so_is_one_that_unpacks_to_too_much() -> None:
    headers = {b"content-encoding": b"gzip"}
    with pytest.raises(RequestError, match="more than 10000 gzip streams"):
        unpack(headers, gzip.compress(b"") * 10_001, 100)
    with pytest.raises(RequestError, match="unpacks to more than 100 bytes"):
        unpack(headers, gzip.compress(bytes(60)) * 2, 100)
    assert unpack(headers, gzip.compress(bytes(50)) * 2, 100) == bytes(100)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "words"),
    [
        (gzip.compress(npy(X))[:-9], "gzip", 400, "the gzip body was cut short"),
        (gzip.compress(npy(X)) * 2 + b"x", "gzip", 400, "bytes follow the end of the gzip body"),
        (npy(X), "gzip", 400, "no gzip data, or is damaged"),
        (b"", "deflate", 400, "cut short"),
        (npy(X), "br", 415, "unknown Content-Encoding 'br': expected gzip, deflate or none"),
    ],
)
def test_a_damaged_compressed_body_is_refused_by_name(
    server: Server, body: bytes, encoding: str, status: int, words: str
) -> None:
    reply = server.infer(body, NPY, content_encoding=encoding)
    assert (reply.status, words in reply.error) == (status, True)


def test_one_array_for_several_inputs_is_told_what_to_send(pair: Server) -> None:
    reply = pair.infer(npy(X), NPY)
    assert (reply.status, reply.error) == (
        415,
        "application/x-npy carries one array, this model takes 3 (a, ids, keep): "
        "send application/x-npz or application/json",
    )


def test_unknown_paths_and_methods_are_json(server: Server) -> None:
    assert server.ask("GET", "/nope").status == 404
    assert "/invocations" in server.ask("GET", "/nope").error
    reply = server.ask("GET", "/invocations")
    assert (reply.status, reply.headers["allow"], reply.error) == (
        405,
        "POST, OPTIONS",
        "/invocations takes POST, found GET",
    )


def test_nan_is_refused_in_json_and_passed_in_npy(picky: Server) -> None:
    minus = np.full((2, 4), -1, np.float32)
    reply = picky.infer(npy(minus), NPY, accept=JSON)
    assert (reply.status, "'y' holds NaN or infinity" in reply.error) == (406, True)
    assert np.isnan(from_npy(picky.infer(npy(minus), NPY).body)).all()


def test_a_failing_inference_is_a_logged_500_and_the_server_lives_on(picky: Server) -> None:
    reply = picky.infer(npy(np.ones((3, 4), np.float32)), NPY)
    assert reply.status == 500
    assert "Reshape node" in reply.error
    assert "Traceback" in picky.child.log.read_text()
    assert from_npy(picky.infer(npy(np.full((2, 4), 9, np.float32)), NPY).body).tolist() == [[3.0] * 8]


def test_a_model_that_refuses_zeros_of_size_1_is_served_without_warm_up(picky: Server) -> None:
    assert "no warm-up" in picky.child.log.read_text()


def test_metrics_parse_and_count(server: Server) -> None:
    before = counts(server)
    server.infer(npy(X), NPY)
    server.infer(npy(X), NPY)
    server.infer(b"", NPY)
    after = counts(server)
    grown = {
        name: after[name] - before.get(name, 0)
        for name in (
            "dyno_requests_total/200",
            "dyno_requests_total/400",
            "dyno_request_seconds_count",
            "dyno_inference_seconds_count",
        )
    }
    assert list(grown.values()) == [2, 1, 2, 2]
    assert after["dyno_requests_in_flight"] == 0
    assert 0 < after["dyno_inference_seconds_sum"] < after["dyno_request_seconds_sum"]
    assert after["dyno_model_info/onnxruntime/matmul.onnx/1/1/1"] == 1
    assert after["process_resident_memory_bytes"] > 10e6


def test_a_client_that_leaves_in_the_middle_of_its_body_is_counted_and_forgotten(server: Server) -> None:
    before = counts(server).get("dyno_requests_total/gone", 0)
    with socket.create_connection(("127.0.0.1", server.port)) as half:
        half.sendall(
            f"POST /invocations HTTP/1.1\r\nContent-Length: 99\r\nContent-Type: {NPY}\r\n\r\nxy".encode()
        )
        wait_until(lambda: counts(server)["dyno_requests_in_flight"] == 1, 10)
    wait_until(lambda: counts(server).get("dyno_requests_total/gone") == before + 1, 10)
    assert counts(server)["dyno_requests_in_flight"] == 0
    assert "Traceback" not in server.child.log.read_text()


def test_a_declared_size_over_the_limit_is_answered_before_the_body_is_sent(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as early:
        early.sendall(f"POST /invocations HTTP/1.1\r\nContent-Length: {10 * MIB}\r\n\r\n".encode())
        assert early.recv(100).startswith(b"HTTP/1.1 413 ")


def test_too_many_requests_get_503_while_ping_and_metrics_answer(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """One runs, two wait, so of six that come at once three are turned away."""
    folder = tmp_path_factory.mktemp("busy")
    with (
        serving(models.busy(folder / "busy.onnx"), folder, "--max-waiting", "2") as server,
        ThreadPoolExecutor(6) as clients,
    ):
        body = npy(np.array(multiplications(server, seconds=0.5)))
        replies = [clients.submit(server.infer, body, NPY) for _ in range(6)]
        wait_until(lambda: sum(reply.done() for reply in replies) == 3, 10)
        assert counts(server)["dyno_requests_in_flight"] == 3
        assert server.ask("GET", "/ping").status == 200
        found = sorted((reply.result() for reply in replies), key=lambda reply: reply.status)
        assert [reply.status for reply in found] == [200] * 3 + [503] * 3
        assert (found[-1].headers["retry-after"], found[-1].error) == (
            "1",
            "2 requests wait already: try again later",
        )
        assert server.infer(npy(np.array(1)), NPY).status == 200


def test_head_is_answered_as_get_without_the_body_and_options_with_the_methods(server: Server) -> None:
    whole = server.ask("GET", "/ping")
    head = server.ask("HEAD", "/ping")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))
    for path, allow in (("/ping", "GET, HEAD, OPTIONS"), ("/invocations", "POST, OPTIONS")):
        reply = server.ask("OPTIONS", path)
        assert (reply.status, reply.headers["allow"], reply.body) == (204, allow, b"")
        assert "content-length" not in reply.headers
    assert server.ask("HEAD", "/invocations").status == 405
    assert server.ask("OPTIONS", "*").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert server.ask("OPTIONS", "/nope").status == 404


def test_a_connection_goes_on_after_options_and_head(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    found = [ask(connection, method, "/ping").status for method in ("OPTIONS", "HEAD", "GET", "OPTIONS")]
    connection.close()
    assert found == [204, 200, 200, 204]


def test_attributes_of_the_caller_come_back_with_the_answer(server: Server) -> None:
    name = "X-Amzn-SageMaker-Custom-Attributes"
    assert server.infer(npy(X), NPY, **{name: "trace=7"}).headers[name.lower()] == "trace=7"
    assert server.infer(b"", NPY, **{name: "trace=7"}).headers[name.lower()] == "trace=7"
    assert name.lower() not in server.infer(npy(X), NPY, **{name: "\xe9"}).headers
