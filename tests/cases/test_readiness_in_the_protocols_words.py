"""Liveness and readiness in the words of the Open Inference Protocol, which KServe's client looks for."""

from __future__ import annotations

from pathlib import Path

from tests.serving.gate import Gate
from tests.serving.helpers import serving


def test_a_server_that_is_ready_says_so(tmp_path: Path) -> None:
    Gate(tmp_path)
    ready = ("/v2/health/ready", "/v2/models/m/ready", "/v2/models/m/versions/1/ready")
    with serving(tmp_path, tmp_path, "--model-name", "m") as server:
        assert server.ask("GET", "/v2/health/live").json() == {"live": True}
        replies = [server.ask("GET", path) for path in ready]
    assert [reply.status for reply in replies] == [200] * 3
    assert [reply.json() for reply in replies] == [
        {"ready": True},
        {"name": "m", "ready": True},
        {"name": "m", "ready": True},
    ]
