"""Waiting until a server is idle: on a real one that answers one request at a time."""

from __future__ import annotations

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modeldyno.loadgen.server.idle import LEAST_LIMIT_S, REFUSED_LIMIT_S, Idle
from tests.loadgen.stub import PAYLOAD, Running, stub_server

SILENT = ",".join(["ok"] * 5 + ["hang"] * 50)
"""After the five requests before the first test nothing is answered in time."""


def asked(server: Running) -> int:
    """Send one request; give the status of its answer."""
    with urllib.request.urlopen(server.url, PAYLOAD.body, timeout=60) as answer:
        status: int = answer.status
        return status


def test_a_queue_that_a_load_left_is_gone_before_the_server_counts_as_idle(tmp_path: Path) -> None:
    with (
        stub_server(tmp_path, "--service-ms", "100", "--one-at-a-time") as server,
        ThreadPoolExecutor(20) as threads,
    ):
        idle = Idle(server.url, PAYLOAD)
        assert idle() == ""
        left = [threads.submit(asked, server) for _ in range(20)]
        assert idle() == ""
        assert all(one.done() for one in left)


def test_a_server_that_does_not_come_to_rest_is_told_with_its_bound(tmp_path: Path) -> None:
    told: list[str] = []
    with stub_server(tmp_path, "--cycle", SILENT) as server:
        idle = Idle(server.url, PAYLOAD, tell=told.append, least_limit_s=1.0)
        assert idle() == ""
        assert "the server was not idle 1 s after a load test: a single request failed" in idle()


def test_a_server_that_has_ended_is_told_and_not_waited_for(tmp_path: Path) -> None:
    with stub_server(tmp_path, "--service-ms", "5") as server:
        idle = Idle(server.url, PAYLOAD)
        assert idle() == ""
    assert REFUSED_LIMIT_S < LEAST_LIMIT_S
    assert idle() == f"nothing listens at {server.url} any more: the server ended"


def test_an_interrupt_ends_the_wait_at_once(tmp_path: Path) -> None:
    stopped: list[bool] = []
    with stub_server(tmp_path, "--cycle", SILENT) as server:
        idle = Idle(server.url, PAYLOAD, stopped=lambda: bool(stopped))
        assert idle() == ""
        stopped.append(True)
        assert idle() == "the search was ended while it waited for the server to be idle"


def test_a_server_that_answers_nothing_is_left_to_the_load_test(tmp_path: Path) -> None:
    with stub_server(tmp_path, "--cycle", "fail") as server:
        idle = Idle(server.url, PAYLOAD)
        assert (idle(), idle()) == ("", "")
