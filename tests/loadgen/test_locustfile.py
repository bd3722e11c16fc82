"""The locustfile started by hand, and what becomes of processes when the parent is stopped."""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import psutil
import pytest

from modeldyno import loadgen
from modeldyno.base.process.procs import free_port, python_module, start
from tests.loadgen.stub import stub_server

BY_HAND = Path(loadgen.__path__[0]) / "locustfiles" / "invocations.py"
INSIDE_LOCUST = tuple(
    f"modeldyno.loadgen.{folder}." for folder in ("generator", "locustfiles", "standing.inside")
)


def test_importing_the_room_does_not_load_gevent() -> None:
    modules = [
        found.name
        for found in pkgutil.walk_packages(loadgen.__path__, "modeldyno.loadgen.")
        if not found.name.startswith(INSIDE_LOCUST)
    ]
    modules += [f"modeldyno.loadgen.generator.{name}" for name in ("fleet", "run_plan", "progress")]
    assert {"modeldyno.loadgen.run", "modeldyno.loadgen.standing.generator"} <= set(modules)
    code = f"import sys, {', '.join(modules)}; sys.exit('gevent' in sys.modules or 'locust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def plain_locust(host: str, seconds: int) -> subprocess.CompletedProcess[str]:
    args = ("-f", str(BY_HAND), "--headless", "-u", "1", "-t", f"{seconds}s", "--host", host)
    return subprocess.run(
        python_module("locust", *args), capture_output=True, text=True, timeout=60, check=False
    )


def test_plain_locust_runs_the_file_with_random_tensors(tmp_path: Path) -> None:
    with stub_server(tmp_path) as server:
        # Locust's clock has begun before the file is imported, which may take seconds on a busy machine.
        done = plain_locust(server.url.removesuffix("/invocations"), 6)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stderr.splitlines() if line.startswith("POST")]
    requests, failures = rows[-2][2], rows[-2][3]  # the last one has the percentiles
    assert int(requests) > 10
    assert failures == "0(0.00%)"


def test_plain_locust_says_why_it_has_nothing_to_send(tmp_path: Path) -> None:
    with stub_server(tmp_path) as server:
        done = plain_locust(server.url.replace("/invocations", "/nothing"), 30)
    assert done.returncode == 2
    assert "/nothing/v2/models/model: HTTP 404: give a request body" in done.stderr


def test_plain_locust_has_its_web_page_and_starts_users_from_there(tmp_path: Path) -> None:
    with stub_server(tmp_path) as server:
        port = free_port()
        args = ("-f", str(BY_HAND), "--host", server.url.removesuffix("/invocations"))
        web = ("--web-host", "127.0.0.1", "--web-port", str(port))
        with start(python_module("locust", *args, *web), log=tmp_path / "locust.log"):
            base = f"http://127.0.0.1:{port}"
            until(lambda: b"<title>Locust" in fetched(base))
            order = urllib.parse.urlencode({"user_count": 1, "spawn_rate": 1}).encode()
            assert json.loads(fetched(f"{base}/swarm", order))["success"]

            def answered() -> bool:
                stats = json.loads(fetched(f"{base}/stats/requests"))["stats"]
                return any(row["num_requests"] > row["num_failures"] for row in stats)

            until(answered)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopping_dyno_load_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    with stub_server(tmp_path) as server:
        command = python_module("modeldyno", "load", server.url, "--warmup", "0", "--duration", "60")
        with start(command, log=tmp_path / "load.log", env={"TMPDIR": str(tmp_path)}) as parent:
            until(lambda: "req/s" in parent.log_tail())
            family = psutil.Process(parent.pid).children(recursive=True)
            assert any("locust" in process.cmdline() for process in family)
            os.kill(parent.pid, number)
            until(lambda: parent.returncode() is not None)
            until(lambda: not any(alive(process) for process in family))
            assert parent.returncode() == (130 if number == signal.SIGINT else -9)
            if number == signal.SIGINT:
                assert parent.log_tail().endswith("interrupted")
            assert not list(tmp_path.glob("dyno-load-*"))


def fetched(url: str, form: bytes | None = None) -> bytes:
    """Body of an answer; empty while nobody listens."""
    try:
        with urllib.request.urlopen(url, form, timeout=20) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.URLError:
        return b""


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(happened: object) -> None:
    assert callable(happened)
    for _ in range(600):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 30 s")
