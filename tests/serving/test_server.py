"""The life of a server process: it starts or says why not, and ends well."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

from modeldyno.base.process import procs
from tests.serving import models
from tests.serving.helpers import (
    NPY,
    Server,
    ask,
    multiplications,
    npy,
    serving,
    start,
    wait_for_port,
    wait_until,
)


def cut(path: Path) -> Path:
    data = models.matmul(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def text(path: Path) -> Path:
    path.write_text("hello, I am no model\n" * 9)
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


BAD_MODELS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "cannot read {path}: No such file or directory"),
    "empty": (empty, "{path} is empty: expected an ONNX model or an artifact folder"),
    "cut": (cut, "{path} is no ONNX model, or was cut short"),
    "text": (text, "{path} is no ONNX model, or was cut short"),
    "operator": (
        lambda path: models.relu(path, operator="Frobnicate"),
        "{path} uses operator Frobnicate, which ONNX opset 17 does not have",
    ),
    "opset": (lambda path: models.relu(path, opset=99), "{path} uses ONNX opset 99, onnxruntime "),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """Exit code, output and expected words of a server for each bad model; two run at a time."""
    found: dict[str, tuple[int, str, str]] = {}
    names = list(BAD_MODELS)
    for pair in (names[i : i + 2] for i in range(0, len(names), 2)):
        folders = {name: tmp_path_factory.mktemp(name) for name in pair}
        paths = {name: BAD_MODELS[name][0](folders[name] / "model.onnx") for name in pair}
        children = {name: start(paths[name], folders[name]) for name in pair}
        for name, child in children.items():
            code = child.process.wait(60)
            assert not (folders[name] / "port").exists()
            found[name] = code, child.log.read_text(), BAD_MODELS[name][1].format(path=paths[name])
    return found


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_is_one_message_and_exit_code_2(
    refusals: dict[str, tuple[int, str, str]], name: str
) -> None:
    code, output, words = refusals[name]
    messages = [line for line in output.splitlines() if not line.startswith("loading ")]
    assert code == 2
    assert len(messages) == 1, output
    assert messages[0].startswith("error: ")
    assert words in messages[0]


def test_what_a_look_at_the_file_tells_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from modeldyno.base.errors import ModelError\n"
        "from modeldyno.serving.server import serve\n"
        "from modeldyno.serving.settings import ServeSettings\n"
        "try: serve(ServeSettings(pathlib.Path(sys.argv[1])))\n"
        "except ModelError: print({'numpy', 'onnxruntime', 'uvicorn', 'tvm_ffi'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "no.onnx"], capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


def test_a_taken_port_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        child = start(models.matmul(tmp_path / "m.onnx"), tmp_path, "--port", str(port))
        assert child.process.wait(60) == 2
    assert child.log.read_text() == (
        f"error: port {port} on 127.0.0.1 is taken: stop what listens there, "
        "or take another with --port (--port 0 finds a free one)\n"
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--cpus", "9999"), "error: --cpus 9999: the usable cores are "),
        (("--cpus", "a"), "error: --cpus a: expected core numbers with commas"),
        (("--preferred-batch", "4,x"), "error: --preferred-batch 4,x: expected numbers of rows with commas"),
        (("--preferred-batch", "4"), "error: --preferred-batch 4: expected sizes from 1 to --max-batch"),
        (("--host", "203.0.113.9"), "error: cannot listen on 203.0.113.9 port 0"),
        (
            ("--host", "no.such.host.invalid"),
            "error: --host no.such.host.invalid is no address of this machine",
        ),
        (("--port-file", "/proc/none/port"), "Error: Invalid value for '--port-file': /proc/none/port: "),
    ],
)
def test_a_bad_flag_is_one_message_and_exit_code_2(
    tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    child = start(models.matmul(tmp_path / "m.onnx"), tmp_path, *flags)
    assert child.process.wait(60) == 2
    assert child.log_tail(1).startswith(words)
    assert "Traceback" not in child.log.read_text()


def test_clients_are_refused_until_the_first_inference_is_done(tmp_path: Path) -> None:
    port = procs.free_port()
    refused = 0
    with start(models.matmul(tmp_path / "m.onnx"), tmp_path, "--port", str(port)) as child:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                refused += 1
                assert child.returncode() is None, child.log_tail()
                time.sleep(0.005)
        assert refused
        assert "first inference in" in child.log.read_text()
        assert Server(child, port).ask("GET", "/ping").status == 200
        assert wait_for_port(child, tmp_path / "port") == port


def test_it_says_what_auto_became_stays_on_its_cores_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    flags = ("--cpus", str(core), "--workers", "2")
    with serving(models.matmul(tmp_path / "m.onnx"), tmp_path, *flags) as server:
        assert f"with workers: 2, threads in each: 1, cores: {core}\n" in server.child.log.read_text()
        threads = psutil.Process(server.child.pid).threads()
        assert {tuple(os.sched_getaffinity(thread.id)) for thread in threads} == {(core,)}
        assert server.infer(npy(np.zeros((1, 4), np.float32)), NPY).status == 200
        os.kill(server.child.pid, signal.SIGINT)
        assert server.child.process.wait(10) == 0


@dataclass(eq=False)
class Client(threading.Thread):
    """Sends one request after the other over a kept-alive connection until it is refused."""

    port: int
    method: str
    path: str
    body: bytes | None = None
    statuses: list[int] = field(default_factory=list)
    end: BaseException | None = None

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            while True:
                reply = ask(connection, self.method, self.path, self.body, content_type=NPY)
                self.statuses.append(reply.status)
                if self.body is None:
                    time.sleep(0.01)
        except (OSError, http.client.HTTPException) as error:
            self.end = error
        finally:
            connection.close()


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[tuple[Server, list[Client]]]:
    """A server with four clients whose requests take a while, and one who pings."""
    with serving(models.busy(tmp_path / "busy.onnx"), tmp_path) as server:
        body = npy(np.array(multiplications(server, seconds=0.02)))
        clients = [Client(server.port, "POST", "/invocations", body) for _ in range(4)]
        clients.append(Client(server.port, "GET", "/ping"))
        for client in clients:
            client.start()
        wait_until(lambda: all(len(client.statuses) > 3 for client in clients), 30)
        yield server, clients


def test_sigterm_under_load_answers_what_was_accepted_and_exits_0(
    loaded: tuple[Server, list[Client]],
) -> None:
    server, clients = loaded
    os.kill(server.child.pid, signal.SIGTERM)
    assert server.child.process.wait(30) == 0
    for client in clients:
        client.join(30)
        assert isinstance(client.end, ConnectionRefusedError), repr(client.end)
    *busy, pinger = clients
    assert all(set(client.statuses) == {200} for client in busy)
    assert pinger.statuses[-1] == 503
    assert set(pinger.statuses[:-1]) == {200}
    assert server.child.log_tail(1) == "stopped"


def test_it_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    model = models.matmul(tmp_path / "m.onnx")
    code = (
        "import pathlib, sys, time; from tests.serving.helpers import start\n"
        "child = start(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, model, tmp_path], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        server = psutil.Process(int(parent.stdout.readline()))
        try:
            wait_until((tmp_path / "port").exists, 60)
        finally:
            parent.kill()
    wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, 10)
