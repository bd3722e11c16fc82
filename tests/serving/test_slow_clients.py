"""Clients that take their time, or leave: nobody else waits for them, and they don't stay for ever."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.serving import models
from tests.serving.helpers import NPY, RAW, Server, multiplications, npy, serving, wait_until
from tests.serving.test_app import counts

BODY = npy(np.eye(4, dtype=np.float32)[:1])
MIB = 2**20


def head(size: int, kind: str = NPY) -> bytes:
    return f"POST /invocations HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode()


def received(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    while part := client.recv(65536):
        found += part
    return found


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("patient")
    with serving(models.matmul(folder / "m.onnx"), folder) as server:
        yield server


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("strict")
    with serving(models.relu_rows(folder / "m.onnx"), folder, "--client-timeout-s", "1") as server:
        yield server


def test_a_slow_client_holds_up_nobody_and_is_served_in_the_end(patient: Server) -> None:
    with socket.create_connection(("127.0.0.1", patient.port), timeout=30) as slow:
        for byte in head(len(BODY)) + BODY[:-1]:
            slow.sendall(bytes([byte]))
        assert all(patient.infer(BODY, NPY).status == 200 for _ in range(20))
        slow.sendall(BODY[-1:])
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")


def test_headers_that_never_end_are_answered_408(strict: Server) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as slow:
        slow.sendall(b"POST /invocations HTTP/1.1\r\nX-Slow: ")
        answer = received(slow)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"error": "the headers did not come in time"' in answer


def test_a_body_that_never_ends_is_answered_408_and_gives_its_place_back(strict: Server) -> None:
    before = counts(strict).get("dyno_requests_total/408", 0)
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", strict.port), timeout=30))
            for _ in range(5)
        ]
        for client in slow:
            client.sendall(head(100) + b"x")
        wait_until(lambda: counts(strict)["dyno_requests_in_flight"] == 5, 10)
        for client in slow:
            answer = received(client)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"the body did not come in time" in answer
    assert counts(strict)["dyno_requests_in_flight"] == 0
    assert counts(strict)["dyno_requests_total/408"] == before + 5
    assert strict.infer(BODY, NPY).status == 200


def test_slow_clients_take_nobodys_place_in_the_queue(tmp_path: Path) -> None:
    """One may wait and one may run; four small bodies and two large ones never end."""
    with (
        serving(models.matmul(tmp_path / "m.onnx"), tmp_path, "--max-waiting", "1") as server,
        ExitStack() as stack,
    ):
        for size in (100, 100, 100, 100, MIB, MIB):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            slow.sendall(head(size) + b"x")
        wait_until(lambda: counts(server)["dyno_requests_in_flight"] == 6, 30)
        assert server.infer(BODY, NPY).status == 200
        large = server.infer(bytes(MIB), RAW)
        assert (large.status, large.headers["retry-after"]) == (503, "1")


def test_drops_of_a_body_do_not_buy_more_time(strict: Server) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as slow:
        slow.sendall(head(10_000))
        slow.settimeout(0.1)
        answer = b""
        for _ in range(1000):
            try:
                slow.sendall(b"x")
                answer = slow.recv(100)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_does_not_read_its_answer_is_let_go_and_its_memory_too(strict: Server) -> None:
    """An answer of 32 MiB is more than the system's buffers take."""
    with socket.create_connection(("127.0.0.1", strict.port), timeout=60) as deaf:
        deaf.sendall(head(32 * MIB, RAW) + bytes(32 * MIB))
        connection = ("127.0.0.1", deaf.getsockname()[1])
        process = psutil.Process(strict.child.pid)
        wait_until(lambda: counts(strict).get("dyno_requests_total/200", 0) > 0, 30)
        wait_until(
            lambda: all(
                entry.raddr != connection or entry.status != psutil.CONN_ESTABLISHED
                for entry in process.net_connections("tcp")
            ),
            30,
        )
    assert strict.infer(BODY, NPY).status == 200


def test_a_client_that_waits_for_a_slow_inference_is_not_taken_for_a_slow_client(tmp_path: Path) -> None:
    with serving(models.busy(tmp_path / "m.onnx"), tmp_path, "--client-timeout-s", "0.2") as server:
        body = npy(np.array(multiplications(server, seconds=1.0)))
        assert server.infer(body, NPY).status == 200


def test_many_disconnects_in_the_middle_of_a_body_leave_nothing_behind(patient: Server) -> None:
    before = counts(patient).get("dyno_requests_total/gone", 0)
    process = psutil.Process(patient.child.pid)
    descriptors = process.num_fds()
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", patient.port), timeout=30) as client:
            client.sendall(head(5 * MIB) + bytes(100_000))
    wait_until(lambda: counts(patient)["dyno_requests_in_flight"] == 0, 30)
    wait_until(lambda: counts(patient)["dyno_requests_total/gone"] == before + 200, 30)
    wait_until(lambda: process.num_fds() <= descriptors, 30)
    assert "Traceback" not in patient.child.log.read_text()
    assert patient.infer(BODY, NPY).status == 200
