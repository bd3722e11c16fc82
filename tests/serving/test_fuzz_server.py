"""Hostile requests against a living server: no answer is a 500, and it lives on."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modeldyno.serving.protocols.oip import HEADER_LENGTH
from modeldyno.serving.wire.answer import Headers
from modeldyno.serving.wire.contents import CONTENT_TYPES
from tests.serving import models
from tests.serving.helpers import JSON, NPY, Server, ask, npy, serving
from tests.serving.test_fuzz import BODIES
from tests.serving.test_oip import requests

X = np.eye(4, dtype=np.float32)
REFUSALS = {400, 404, 406, 413, 415}
INFER = "/v2/models/model/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fuzz")
    flags = ("--max-body-mib", "1", "--max-batch", "4")
    with serving(models.matmul(folder / "m.onnx"), folder, *flags) as running:
        yield running


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    """One for all requests: a refusal must leave it usable."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    yield connection
    connection.close()


def alive(server: Server) -> None:
    reply = server.infer(npy(X), NPY)
    assert (reply.status, server.child.returncode()) == (200, None)
    assert "Traceback" not in server.child.log.read_text()


def check_invocation(connection: http.client.HTTPConnection, body: bytes, kind: str, packed: bool) -> None:
    headers = {"content_encoding": "gzip"} if packed else {}
    sent = gzip.compress(body) if packed else body
    reply = ask(connection, "POST", "/invocations", sent, content_type=kind, **headers)
    assert reply.status == 200 or (reply.status in REFUSALS and reply.error)


def check_infer(connection: http.client.HTTPConnection, made: tuple[bytes, Headers]) -> None:
    body, headers = made
    length = headers[HEADER_LENGTH].decode("latin-1")
    if any(ord(letter) < 33 or ord(letter) == 127 for letter in length):
        length = "x"  # what HTTP itself forbids never gets as far as the parser
    reply = ask(connection, "POST", INFER, body, inference_header_content_length=length)
    assert reply.status == 200 or (reply.status in REFUSALS and reply.error)


def fuzz_invocations(connection: http.client.HTTPConnection, count: int) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(body=BODIES, kind=st.sampled_from([*CONTENT_TYPES, "x/y"]), packed=st.booleans())
    def each(body: bytes, kind: str, packed: bool) -> None:
        check_invocation(connection, body, kind, packed)

    each()


def fuzz_infer(connection: http.client.HTTPConnection, count: int) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(made=requests())
    def each(made: tuple[bytes, Headers]) -> None:
        check_infer(connection, made)

    each()


def test_hostile_requests_are_refused_by_a_server_that_lives_on(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    fuzz_invocations(connection, 300)
    fuzz_infer(connection, 300)
    alive(server)


@pytest.mark.slow
def test_ten_thousand_hostile_requests_are_refused_by_a_server_that_lives_on(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    fuzz_invocations(connection, 5000)
    fuzz_infer(connection, 5000)
    alive(server)


@pytest.mark.parametrize("path", ["/v2/models/model/infer", "/invocations"])
def test_json_nested_deep_is_refused(server: Server, path: str) -> None:
    deep = b'{"inputs": ' + b"[" * 100_000
    reply = server.ask("POST", path, deep, content_type=JSON)
    assert (reply.status, "JSON" in reply.error) == (400, True)
    huge = json.dumps({"inputs": [{"name": "x" * 100_000}]})
    assert server.ask("POST", path, huge, content_type=JSON).status == 400
    alive(server)
