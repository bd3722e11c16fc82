"""200 MB of headers under `--max-body-mib 1`: refused, and not kept in memory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from tests.serving import models
from tests.serving.gate import connect
from tests.serving.helpers import serving

MIB = 2**20


def test_200_mb_of_headers_are_refused_and_take_no_memory(tmp_path: Path) -> None:
    with serving(models.matmul(tmp_path / "m.onnx"), tmp_path, "--max-body-mib", "1") as server:
        process = psutil.Process(server.child.pid)
        before = process.memory_info().rss
        with connect(server.port) as client:
            client.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\n")
            with suppress(OSError):
                for _ in range(200):
                    client.sendall(b"X-A: " + b"a" * 1_000_000 + b"\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 431 ")
        assert process.memory_info().rss - before < 20 * MIB
        assert server.ask("GET", "/ping").status == 200
