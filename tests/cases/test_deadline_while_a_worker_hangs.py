"""`--timeout-ms` holds while the only worker hangs, and /ping says that none answers."""

from __future__ import annotations

from pathlib import Path

from tests.serving.gate import Gate, body, connect, post
from tests.serving.helpers import JSON, serving, wait_until


def test_a_request_behind_one_that_hangs_is_answered_504_before_that_ends(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with serving(tmp_path, tmp_path, "--timeout-ms", "500") as server, connect(server.port) as hanging:
        hanging.sendall(post(body("hangs", "later")))
        wait_until(lambda: gate.run() == ["hangs"], 30)
        reply = server.infer(body("behind"), JSON)
        assert (reply.status, gate.run()) == (504, ["hangs"])
        assert "deadline of 500 ms: not begun" in reply.error
        assert server.ask("GET", "/ping").status == 503
        assert hanging.recv(100).startswith(b"HTTP/1.1 504 ")
        gate.open("later")
        wait_until(lambda: server.ask("GET", "/ping").status == 200, 30)
        assert server.infer(body("after"), JSON).status == 200
        assert gate.run() == ["hangs", "after"]
