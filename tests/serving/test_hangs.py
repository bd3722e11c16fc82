"""User code that hangs: told, answered in time, replaced."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.serving.gate import Gate, body, connect, post
from tests.serving.helpers import JSON, Server, serving, wait_until
from tests.serving.test_app import counts


def hang(server: Server, gate: Gate, name: str, clients: int) -> None:
    """Send requests that never end over so many connections, dealt out to the processes; each gets 504."""
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(connect(server.port)) for _ in range(clients)]
        for client in all_of_them:
            client.sendall(b"GET /ping HTTP/1.1\r\n\r\n")
            found = b""
            while b'"ready"}' not in found:
                found += client.recv(1000)
        for index, client in enumerate(all_of_them):
            client.sendall(post(body(f"{name}-{index}", "never")))
        for client in all_of_them:
            assert client.recv(100).startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("processes", [1, 2])
def test_workers_that_hang_are_replaced_and_told_meanwhile(tmp_path: Path, processes: int) -> None:
    gate = Gate(tmp_path)
    flags = ("--timeout-ms", "300", "--processes", str(processes))
    with serving(tmp_path, tmp_path, *flags) as server:
        hang(server, gate, "hangs", 6)
        assert len(gate.run()) == processes
        wait_until(lambda: server.ask("GET", "/ping").status == 503, 10)
        reply = server.ask("GET", "/v2/models/model/ready")
        assert (reply.status, reply.json()["ready"]) == (503, False)
        assert "no worker answers" in reply.error
        wait_until(lambda: server.ask("GET", "/ping").status == 200, 60)
        assert server.infer(body("after"), JSON).status == 200
        assert counts(server)["dyno_requests_total/504"] == 6
        assert "Traceback" not in server.child.log.read_text()


def test_new_connections_go_to_the_process_that_answers(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with serving(tmp_path, tmp_path, "--timeout-ms", "3000", "--processes", "2") as server:
        hang(server, gate, "hangs", 1)
        wait_until(lambda: counts(server)["dyno_processes_stuck"] == 1, 10)
        assert [server.infer(body(str(number)), JSON).status for number in range(20)] == [200] * 20


@pytest.mark.slow
def test_after_a_few_workers_that_hang_the_server_ends_with_a_message(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with serving(tmp_path, tmp_path, "--timeout-ms", "100", "--workers", "4") as server:
        hang(server, gate, "first", 4)
        wait_until(
            lambda: "4 workers run a request for longer than 5.1 s" in server.child.log.read_text(), 60
        )
        wait_until(lambda: server.ask("GET", "/ping").status == 200, 60)
        hang(server, gate, "second", 4)
        assert server.child.process.wait(60) == 2
    assert server.child.log_tail(1).startswith("error: every worker runs a request for longer than 5.1 s")


def test_a_worker_that_comes_back_ends_and_its_memory_with_it(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with serving(tmp_path, tmp_path, "--timeout-ms", "100") as server:
        hang(server, gate, "hangs", 1)
        wait_until(lambda: server.ask("GET", "/ping").status == 200, 60)
        gate.open("never")
        assert [server.infer(body(str(number)), JSON).status for number in range(5)] == [200] * 5
