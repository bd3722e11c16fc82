"""Several server processes behind one port: one that dies is replaced, and all end well together."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from dyno import procs
from loadgen.usage import find_server, process_tree
from serving.shares import Share, by_neighbours, shares
from tests.serving import models
from tests.serving.helpers import NPY, Server, ask, multiplications, npy, serving, start, wait_until
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


def test_a_worker_that_keeps_dying_ends_the_server_with_its_whole_error(tmp_path: Path) -> None:
    """The model can be loaded as long as a file is there; it is taken away, and the workers with it."""
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
        assert server.child.process.wait(120) == 2
        wait_until(lambda: not alive(other), 30)
        said = server.child.log.read_text()
    last = said[said.rindex("error: ") :]
    assert last.startswith("error: worker 0 died 5 times in a row, at last: ")
    assert "model_fn failed: FileNotFoundError" in last
    assert "return (pathlib.Path(folder) / 'weights').read_text()" in last
    assert said.count("error: ") == 1


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
