"""Ten times as many requests as the server can do: it turns most away and does as much as before."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.serving import models
from tests.serving.helpers import NPY, Reply, Server, ask, multiplications, npy, serving

MIB = 2**20
FLAGS = ("--max-waiting", "2")  # with the one that runs, three have a place; thirty come


@dataclass
class Crowd:
    """Clients that send one request after the other, a pause after each refusal, for some seconds."""

    port: int
    body: bytes
    seconds: float
    replies: list[Reply] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)

    def run(self, clients: int) -> Crowd:
        threads = [threading.Thread(target=self._one) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self

    def done(self) -> int:
        return sum(reply.status == 200 for reply in self.replies)

    def _one(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        ends_s = time.monotonic() + self.seconds
        try:
            while time.monotonic() < ends_s:
                reply = ask(connection, "POST", "/invocations", self.body, content_type=NPY)
                self.replies.append(reply)
                if reply.status != 200:
                    time.sleep(0.1)
        except (OSError, http.client.HTTPException) as error:
            self.broken.append(error)
        finally:
            connection.close()


def memory(server: Server) -> int:
    root = psutil.Process(server.child.pid)
    return sum(each.memory_info().rss for each in (root, *root.children()))


def overload(server: Server, *, seconds: float) -> None:
    """One client keeps the worker busy; thirty get as much done, no failure but 503, no heap of memory."""
    body = npy(np.array(multiplications(server, seconds=0.02)))
    alone = Crowd(server.port, body, seconds).run(1)
    before = memory(server)
    many = Crowd(server.port, body, seconds).run(30)
    assert not many.broken, many.broken[:3]
    assert {reply.status for reply in many.replies} == {200, 503}
    assert all(reply.headers["retry-after"] == "1" for reply in many.replies if reply.status == 503)
    # Half, for a machine that has other things to do as well: without a limit next to nothing is left.
    assert many.done() > alone.done() / 2
    assert memory(server) - before < 64 * MIB
    assert server.infer(npy(np.array(1)), NPY).status == 200


def test_overload_turns_away_what_is_too_much_and_does_the_rest(tmp_path: Path) -> None:
    with serving(models.busy(tmp_path / "busy.onnx"), tmp_path, *FLAGS) as server:
        overload(server, seconds=2.5)


@pytest.mark.slow
def test_a_minute_of_overload_leaves_goodput_and_memory_as_they_were(tmp_path: Path) -> None:
    with serving(models.busy(tmp_path / "busy.onnx"), tmp_path, *FLAGS) as server:
        overload(server, seconds=60)


@pytest.mark.slow
def test_a_minute_of_overload_of_several_processes(tmp_path: Path) -> None:
    with serving(models.busy(tmp_path / "busy.onnx"), tmp_path, "--processes", "2", *FLAGS) as server:
        overload(server, seconds=60)
