"""How a standing generator ends: on its own, by whoever started it, and with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Timer

import psutil
import pytest

from modeldyno.base.errors import ConfigError, LoadTestError
from modeldyno.loadgen.standing import generator
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.generator import StandingGenerator
from tests.loadgen.standing.server import CountingServer, counting_server
from tests.loadgen.stub import PAYLOAD

LONG = BlockOrder(url="http://127.0.0.1:1", shortest_s=3000.0, longest_s=3000.0, timeout_s=3000.0)
SCRIPT = """
import sys
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.generator import StandingGenerator

with StandingGenerator(Payload(b"x", "text/plain")) as running:
    print(running.pid, flush=True)
    running.take(BlockOrder(url=sys.argv[1], shortest_s=3000.0, longest_s=3000.0))
"""
FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.generator import StandingGenerator

with StandingGenerator(Payload(b"x", "text/plain"), 60) as running:
    for url in (*sys.argv[1:], sys.argv[1]):
        taken = running.take(BlockOrder(url=url, users=60, requests=60, shortest_s=0.0))
        print(taken.errors, taken.full)
"""


@contextmanager
def later(what: signal.Signals, pid: int, after_s: float = 0.5) -> Iterator[None]:
    timer = Timer(after_s, os.kill, (pid, what))
    timer.start()
    try:
        yield
    finally:
        timer.join()


def wait_until_gone(pid: int) -> None:
    for _ in range(200):
        if not psutil.pid_exists(pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the generator's folder lies."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_killed_generator_is_an_error(temporary: Path) -> None:
    with counting_server() as server, StandingGenerator(PAYLOAD) as running:
        pid = running.pid
        with later(signal.SIGKILL, pid), pytest.raises(LoadTestError, match=f"process {pid}.* ended by exit"):
            running.take(replace(LONG, url=server.url))
        assert not psutil.pid_exists(pid)
        with pytest.raises(LoadTestError, match="does not run"):
            running.take(replace(LONG, url=server.url))
    assert list(temporary.iterdir()) == []


def test_a_generator_that_died_between_blocks_is_an_error() -> None:
    with StandingGenerator(PAYLOAD) as running:
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(LoadTestError, match="ended by exit status -9"):
            running.take(LONG)


def test_a_generator_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generator, "LOCUSTFILE", tmp_path / "none.py")
    with pytest.raises(LoadTestError, match=r"none\.py"), StandingGenerator(PAYLOAD):
        pass


def test_a_generator_that_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "OVERTIME_LIMIT_S", 1.0)
    with counting_server() as server, StandingGenerator(PAYLOAD) as running:
        pid = running.pid
        os.kill(pid, signal.SIGSTOP)
        order = BlockOrder(url=server.url, shortest_s=0.1, longest_s=0.1, timeout_s=0.1)
        with pytest.raises(LoadTestError, match="hangs"):
            running.take(order)
        assert not psutil.pid_exists(pid)


def test_lateness_of_its_loop_is_seen() -> None:
    with counting_server() as server, StandingGenerator(PAYLOAD) as running, ThreadPoolExecutor() as threads:
        held = threads.submit(hold, running.pid, server)
        taken = running.take(BlockOrder(url=server.url, shortest_s=1.0))
        held.result()
    assert taken.lag_ms > 100


def hold(pid: int, server: CountingServer) -> None:
    """Keep a generator from doing anything for 0.3 s of its window."""
    while len(server.bodies) < 5:
        time.sleep(0.005)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(pid, signal.SIGCONT)


def test_an_interrupt_comes_through_and_leaves_nothing(temporary: Path) -> None:
    with counting_server(0) as server, StandingGenerator(PAYLOAD) as running:
        pid = running.pid
        with later(signal.SIGINT, os.getpid()), pytest.raises(KeyboardInterrupt):
            running.take(replace(LONG, url=server.url))
        assert not psutil.pid_exists(pid)
    assert list(temporary.iterdir()) == []


def test_a_killed_parent_leaves_nothing(temporary: Path) -> None:
    with counting_server() as server:
        parent = subprocess.Popen([sys.executable, "-c", SCRIPT, server.url], stdout=subprocess.PIPE)
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert list(temporary.iterdir()) != []
        parent.kill()
        parent.communicate()
        wait_until_gone(pid)
    assert list(temporary.iterdir()) == []


def test_connections_to_the_server_asked_longest_ago_make_room(temporary: Path) -> None:
    # 200 files less 64 in reserve: two servers of 60 users fit, the third does not.
    with counting_server() as first, counting_server() as second, counting_server() as third:
        urls = [first.url, second.url, third.url]
        done = subprocess.run(
            [sys.executable, "-c", FEW_FILES, *urls], capture_output=True, text=True, check=True, timeout=120
        )
        assert done.stdout.split("\n")[:-1] == ["0 True"] * 4
        assert [len(server.opened) for server in (first, second, third)] == [120, 60, 60]


def test_more_users_than_files_are_refused() -> None:
    with pytest.raises(ConfigError, match="may open"):
        StandingGenerator(PAYLOAD, 1 << 30)
    with pytest.raises(ConfigError, match="at least one user"):
        StandingGenerator(PAYLOAD, 0)
