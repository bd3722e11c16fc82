"""One request after the other that ends its worker: the others are served between, and the server stays."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from tests.serving.gate import Gate, body, connect, post, received
from tests.serving.helpers import JSON, serving


@pytest.mark.slow
def test_fourteen_of_them_end_neither_the_server_nor_the_service(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with serving(tmp_path, tmp_path, "--processes", "2") as server:
        for number in range(14):
            with connect(server.port) as client, suppress(ConnectionError):
                client.sendall(post(body(f"poison-{number}", exit=4)))
                received(client)
            assert server.infer(body("good"), JSON).status == 200
        assert server.child.returncode() is None
        assert gate.run() == [name for number in range(14) for name in (f"poison-{number}", "good")]
