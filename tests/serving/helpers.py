"""A real server process, and a client that says what came back."""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modeldyno.base.process import procs

JSON, NPY, NPZ, RAW = "application/json", "application/x-npy", "application/x-npz", "application/octet-stream"
STARTS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an error answer, which must be JSON."""
        assert self.headers["content-type"] == JSON
        message = self.json()["error"]
        assert isinstance(message, str)
        return message


@dataclass(frozen=True)
class Server:
    child: procs.Child
    port: int

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            return ask(connection, method, path, body, **headers)
        finally:
            connection.close()

    def infer(self, body: Any, content_type: str, **headers: str) -> Reply:
        return self.ask("POST", "/invocations", body, content_type=content_type, **headers)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> Reply:
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    names = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, names, response.read())


def start(model: Path, folder: Path, *flags: str) -> procs.Child:
    """Start a server on a free port (unless the flags say otherwise) that will write `folder`/port."""
    args = procs.python_module("modeldyno", "serve", str(model), "--port", "0", "--threads", "1")
    return procs.start([*args, "--port-file", str(folder / "port"), *flags], log=folder / "server.log")


@contextmanager
def serving(model: Path, folder: Path, *flags: str) -> Iterator[Server]:
    with start(model, folder, *flags) as child:
        yield Server(child, wait_for_port(child, folder / "port"))


def wait_for_port(child: procs.Child, port_file: Path) -> int:
    wait_until(lambda: port_file.exists() or child.returncode() is not None, STARTS_WITHIN_S)
    assert port_file.exists(), child.log_tail()
    return int(port_file.read_text())


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {seconds} s"
        time.sleep(0.02)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def from_npy(body: bytes) -> np.ndarray:
    array: np.ndarray = np.load(io.BytesIO(body), allow_pickle=False)
    return array


def from_npz(body: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        return dict(archive)


def multiplications(server: Server, *, seconds: float) -> int:
    """How many of `models.busy` take that long here."""

    def time_one(number: int) -> float:
        started_s = time.perf_counter()
        reply = server.infer(npy(np.array(number)), NPY)
        assert reply.status == 200
        return time.perf_counter() - started_s

    return int(1000 * seconds / min(time_one(1000) for _ in range(3)))
