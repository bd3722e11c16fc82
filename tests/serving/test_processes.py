"""Several server processes behind one port: one that dies is replaced, and all end well together."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from modeldyno.base.process import procs
from modeldyno.loadgen.watch.processes import find_server, process_tree
from modeldyno.serving.process.shares import Share, by_neighbours, shares
from tests.serving import models
from tests.serving.gate import Gate, body, connect, post, received, statuses
from tests.serving.helpers import JSON, NPY, Server, ask, multiplications, npy, serving, start, wait_until
from tests.serving.test_app import counts
from tests.serving.test_server import Client, cut

ONE = npy(np.eye(4, dtype=np.float32)[:1])


def workers(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.child.pid).children()


def connections(worker: psutil.Process) -> int:
    return sum(each.status == psutil.CONN_ESTABLISHED for each in worker.net_connections("tcp"))


def alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes, which every test leaves as it found them."""
    folder = tmp_path_factory.mktemp("pair")
    with serving(models.matmul(folder / "m.onnx"), folder, "--processes", "2") as server:
        yield server


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[tuple[Server, list[Client]]]:
    """Two processes with six clients whose requests take a while."""
    with serving(models.busy(tmp_path / "busy.onnx"), tmp_path, "--processes", "2") as server:
        body = npy(np.array(multiplications(server, seconds=0.02)))
        clients = [Client(server.port, "POST", "/invocations", body) for _ in range(6)]
        for client in clients:
            client.start()
        wait_until(lambda: all(len(client.statuses) > 3 for client in clients), 60)
        yield server, clients


def test_a_killed_worker_is_started_again_and_only_its_requests_fail(
    loaded: tuple[Server, list[Client]],
) -> None:
    server, clients = loaded
    victim, other = workers(server)
    its_own = connections(victim)
    assert its_own > 0
    assert its_own + connections(other) == 6
    counted = counts(server)["dyno_requests_total/200"]
    victim.kill()
    wait_until(lambda: sum(client.end is not None for client in clients) == its_own, 30)
    wait_until(lambda: len(workers(server)) == 2 and victim not in workers(server), 60)
    wait_until(lambda: counts(server)["dyno_processes"] == 2, 60)
    assert server.infer(npy(np.array(1)), NPY).status == 200
    assert sum(client.end is not None for client in clients) == its_own
    assert all(set(client.statuses) == {200} for client in clients)
    assert counts(server)["dyno_restarts_total"] == 1
    assert counts(server)["dyno_requests_total/200"] > counted  # what the dead one counted stays
    assert "started again in 0 s: it was ended by SIGKILL" in server.child.log.read_text()


def test_sigterm_under_load_answers_what_every_process_accepted(loaded: tuple[Server, list[Client]]) -> None:
    server, clients = loaded
    os.kill(server.child.pid, signal.SIGTERM)
    assert server.child.process.wait(60) == 0
    for client in clients:
        client.join(30)
        assert isinstance(client.end, ConnectionRefusedError), repr(client.end)
        assert set(client.statuses) == {200}
    assert server.child.log_tail(1) == "stopped"


def test_connections_are_dealt_out_evenly(pair: Server) -> None:
    with ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", pair.port)))
            assert ask(client, "GET", "/ping").status == 200
        assert min(map(connections, workers(pair))) >= 3  # 5, were the machine not busy with other things


def test_a_scrape_of_any_worker_gives_the_totals_of_all(pair: Server) -> None:
    before = counts(pair)["dyno_requests_total/200"]
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", pair.port))) for _ in range(4)
        ]
        for client in clients:
            assert ask(client, "POST", "/invocations", ONE, content_type=NPY).status == 200
        scrapes = [ask(client, "GET", "/metrics").body.decode().splitlines() for client in clients]
    assert {line for scrape in scrapes for line in scrape if "_count" in line} == {
        line for line in scrapes[0] if "_count" in line
    }
    assert counts(pair)["dyno_requests_total/200"] - before == 4
    memory = sum(worker.memory_info().rss for worker in workers(pair))
    assert memory / 2 < counts(pair)["process_resident_memory_bytes"] < memory * 2


def test_the_load_generator_finds_every_process_by_the_address(pair: Server) -> None:
    assert find_server(f"http://127.0.0.1:{pair.port}") == (pair.child.pid,)
    assert {each.pid for each in process_tree((pair.child.pid,))} == {
        pair.child.pid,
        *(each.pid for each in workers(pair)),
    }


def test_a_model_that_cannot_be_loaded_is_told_once(tmp_path: Path) -> None:
    with start(cut(tmp_path / "m.onnx"), tmp_path, "--processes", "4") as child:
        assert child.process.wait(60) == 2
        assert child.log.read_text().count("error: ") == 1
        assert "is no ONNX model, or was cut short" in child.log_tail(1)


def test_only_when_no_worker_can_be_started_the_server_ends_with_the_whole_error(tmp_path: Path) -> None:
    """The model can be loaded as long as a file is there; it is taken away, and the workers one by one."""
    (tmp_path / "inference.py").write_text(
        "import pathlib\n"
        "def model_fn(folder):\n"
        "    return (pathlib.Path(folder) / 'weights').read_text()\n"
        "def predict_fn(data, model):\n"
        "    return data\n"
    )
    (tmp_path / "weights").write_text("1")
    with serving(tmp_path, tmp_path, "--processes", "2") as server:
        (tmp_path / "weights").unlink()
        victim, other = workers(server)
        victim.kill()
        log = server.child.log
        wait_until(lambda: "worker 0 died and is started again in 1 s: " in log.read_text(), 60)
        assert server.infer("1", JSON).status == 200  # by the other
        other.kill()
        assert server.child.process.wait(120) == 2
        said = log.read_text()
    last = said[said.rindex("error: ") :]
    assert re.match("error: no worker can be started: worker [01] died [0-9]+ times in a row before it", last)
    assert "model_fn failed: FileNotFoundError" in last
    assert "return (pathlib.Path(folder) / 'weights').read_text()" in last
    assert said.count("error: ") == 1


def test_a_worker_that_can_be_started_again_is_not_given_up(tmp_path: Path) -> None:
    """It loads, cannot for a while, and can again."""
    (tmp_path / "inference.py").write_text(
        "import pathlib\n"
        "def model_fn(folder):\n"
        "    return (pathlib.Path(folder) / 'weights').read_text()\n"
        "def predict_fn(data, model):\n"
        "    return data\n"
    )
    (tmp_path / "weights").write_text("1")
    with serving(tmp_path, tmp_path, "--processes", "2") as server:
        (tmp_path / "weights").unlink()
        workers(server)[0].kill()
        wait_until(lambda: "is started again in 0.5 s: " in server.child.log.read_text(), 60)
        (tmp_path / "weights").write_text("1")
        wait_until(lambda: counts(server)["dyno_processes"] == 2, 60)


@pytest.mark.slow
def test_a_worker_that_holds_the_interpreters_lock_is_killed_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(
        "import re\n"
        "def model_fn(folder): return 0\n"
        "def predict_fn(data, model):\n"
        "    return bool(re.match('(a+)+$', 'a' * data + 'b'))\n"
    )
    with serving(tmp_path, tmp_path, "--processes", "2", "--timeout-ms", "200") as server:
        with connect(server.port) as stuck:
            stuck.sendall(post(b"64"))
            wait_until(lambda: "standing still for 5." in server.child.log.read_text(), 60)
            assert statuses(received(stuck)) == [502]
        wait_until(lambda: counts(server)["dyno_processes"] == 2, 60)
        assert server.infer("3", JSON).body == b"false"


def test_the_workers_end_with_a_server_that_was_killed(tmp_path: Path) -> None:
    with serving(models.matmul(tmp_path / "m.onnx"), tmp_path, "--processes", "2") as server:
        both = workers(server)
        assert len(both) == 2
        server.child.process.kill()
        wait_until(lambda: not any(map(alive, both)), 60)


def test_no_worker_takes_requests_before_all_are_warm(tmp_path: Path) -> None:
    port = procs.free_port()
    flags = ("--port", str(port), "--processes", "2")
    with start(models.matmul(tmp_path / "m.onnx"), tmp_path, *flags) as child:
        wait_until(lambda: find_server(f"http://127.0.0.1:{port}") or child.returncode() is not None, 60)
        assert child.log.read_text().count("first inference in") == 2, child.log_tail()


def test_cores_are_shared_out_and_no_inference_has_more_threads_than_cores_of_its_own() -> None:
    assert shares((0, 1, 2, 3), 2, 1) == [Share((0, 1), 2), Share((2, 3), 2)]
    assert shares((0, 1, 2, 3, 4), 2, 2) == [Share((0, 1, 4), 1), Share((2, 3, 4), 1)]
    assert shares((0, 4, 1, 5), 2, 1, threads=1) == [Share((0, 4), 1), Share((1, 5), 1)]
    assert shares((0, 1), 3, 1) == [Share((0, 1), 1)] * 3
    assert sorted(by_neighbours((2, 0, 1))) == [0, 1, 2]


def test_each_worker_stays_on_its_share_of_the_cores(pair: Server) -> None:
    cores = by_neighbours(sorted(os.sched_getaffinity(0)))
    found = sorted(tuple(sorted(os.sched_getaffinity(worker.pid))) for worker in workers(pair))
    assert found == sorted(share.cores for share in shares(cores, 2, 1))


def test_what_many_clients_ask_is_answered_with_their_own_numbers(pair: Server) -> None:
    def ask_one(row: int) -> bool:
        body = npy(np.eye(4, dtype=np.float32)[row % 4 :][:1])
        return pair.infer(body, NPY).body.endswith(models.WEIGHTS[row % 4].tobytes())

    with ThreadPoolExecutor(8) as clients:
        assert all(clients.map(ask_one, range(80)))


def test_a_request_that_ends_its_worker_is_named_in_the_log(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    poison, large = body("small", exit=4), body("x" * 70_000, exit=5)
    with serving(tmp_path, tmp_path, "--processes", "2") as server:
        for content, lines in ((poison, ("X-Request-Id: a-1",)), (large, ())):
            with connect(server.port) as client, suppress(ConnectionError):
                client.sendall(post(content, *lines))
                received(client)
            assert server.infer(body("good"), JSON).status == 200
        wait_until(lambda: server.child.log.read_text().count("it was running") == 2, 30)
        said = server.child.log.read_text()
    assert gate.run() == ["small", "good", "x" * 70_000, "good"]
    digest, of_large = hashlib.sha256(poison).hexdigest(), hashlib.sha256(large[:65536]).hexdigest()
    size = f"{len(poison)} bytes, SHA-256"
    assert f"it was running POST /invocations, X-Request-Id a-1, {size} {digest}\n" in said
    assert f"{len(large)} bytes, SHA-256 of the first 65536 {of_large}\n" in said
    assert "it ended with exit code 4" in said


def test_requests_that_ended_before_a_worker_died_are_not_blamed(pair: Server) -> None:
    assert pair.infer(ONE, NPY).status == 200
    both = counts(pair)
    workers(pair)[0].kill()
    wait_until(lambda: counts(pair)["dyno_restarts_total"] == both["dyno_restarts_total"] + 1, 60)
    wait_until(lambda: counts(pair)["dyno_processes"] == 2, 60)
    assert "it was running" not in pair.child.log.read_text()


def ready_connection(server: Server, stack: ExitStack) -> socket.socket:
    client = stack.enter_context(connect(server.port))
    client.sendall(post(body("ready")))
    found = b""
    while not found.endswith(b"}"):
        found += client.recv(1000)
    return client


def die(server: Server, gate: Gate, name: str) -> None:
    """End both workers: one request of each ends it, others wait, or are not whole, or are none."""
    with ExitStack() as stack:
        runs, waits = ([ready_connection(server, stack) for _ in range(8)] for _ in range(2))
        for index, client in enumerate(runs):
            client.sendall(post(body(f"{name}-{index}", name, exit=4)))
        wait_until(lambda: sum(each.startswith(name) for each in gate.run()) == 2, 30)
        for client in waits[:4]:
            client.sendall(post(body("waits")) * 2)
        for client in waits[4:6]:
            client.sendall(post(body("half"))[:-1])
        wait_until(lambda: counts(server)["dyno_requests_in_flight"] == 14, 30)
        gate.open(name)
        answers = [received(client) for client in (*runs, *waits)]
    found = [statuses(answer) for answer in answers]
    assert sorted(found[:8]) == [[502]] * 2 + [[503]] * 6
    assert found[8:] == [[503]] * 4 + [[]] * 4
    assert b"the server's log names it" in b"".join(answers)
    wait_until(lambda: counts(server)["dyno_processes"] == 2, 60)


def test_requests_of_a_worker_that_dies_of_them_are_answered_by_its_parent(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with serving(tmp_path, tmp_path, "--processes", "2") as server:
        die(server, gate, "once")
        die(server, gate, "again")
        after = counts(server)
    assert (after["dyno_requests_total/502"], after["dyno_requests_total/503"]) == (4, 20)


def test_the_parent_keeps_no_connection_that_has_ended(pair: Server) -> None:
    parent = psutil.Process(pair.child.pid)
    descriptors = parent.num_fds()
    for lines in (("Connection: close",), ()):
        for _ in range(100):
            with connect(pair.port) as client:
                client.sendall(b"\r\n".join((b"GET /ping HTTP/1.1", *map(str.encode, lines), b"", b"")))
                if lines:
                    assert statuses(received(client)) == [200]
    wait_until(lambda: parent.num_fds() <= descriptors, 30)
    wait_until(lambda: sum(map(connections, workers(pair))) == 0, 30)
