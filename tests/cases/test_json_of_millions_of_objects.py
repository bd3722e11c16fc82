"""JSON within `--max-body-mib` that parsers take seconds for: refused, and /ping answers meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving import models
from tests.serving.helpers import JSON, Server, serving

MIB = 2**20
SCRIPT = """
import json
def model_fn(d): return 0
def input_fn(b, c): return json.loads(b)
def predict_fn(d, m): return 1
"""
BODIES = {
    "lists": b'{"inputs":[' + b"[]," * (20 * MIB) + b"[]]}",
    "lists of one": b'{"inputs":[' + b"[1]," * (7 * MIB) + b"[1]]}",
    "objects": b'{"inputs":[' + b"{}," * (20 * MIB) + b"{}]}",
    "values": b'{"inputs":[' + b"1," * (30 * MIB) + b"1]}",
    "strings": b'{"inputs":[' + b'"",' * (20 * MIB) + b'""]}',
    "keys": b'{"inputs":{' + b",".join(b'"%x":1' % number for number in range(3 * MIB)) + b"}}",
}


@pytest.fixture(scope="module", params=["tensors", "code"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "inference.py").write_text(SCRIPT)
    model = folder if request.param == "code" else models.matmul(folder / "m.onnx")
    with serving(model, folder) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("kind", BODIES)
def test_a_ping_is_answered_within_two_seconds_meanwhile(server: Server, kind: str) -> None:
    with ThreadPoolExecutor(2) as clients:
        replies = [clients.submit(server.infer, BODIES[kind], JSON) for _ in range(2)]
        longest_s = 0.0
        while not all(reply.done() for reply in replies):
            started_s = time.monotonic()
            assert server.ask("GET", "/ping").status == 200
            longest_s = max(longest_s, time.monotonic() - started_s)
    assert longest_s < 2
    assert [reply.result().status for reply in replies] == [413] * 2
    assert "more than " in replies[0].result().error


def test_lists_in_lists_are_refused_by_name(server: Server) -> None:
    reply = server.infer(b"[" * 100_000 + b"]" * 100_000, JSON)
    assert reply.status == 400
    assert "recursion limit" in reply.error or "nested too deep" in reply.error
    assert server.ask("GET", "/ping").status == 200
