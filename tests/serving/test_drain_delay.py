"""After a signal a server goes on to take requests for as long as was asked, while /ping says 503."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.serving import models
from tests.serving.helpers import NPY, npy, serving, wait_until

ROW = npy(np.ones((1, 4), np.float32))
DELAY_S = 3


@pytest.mark.parametrize("processes", [1, 2])
def test_requests_are_answered_in_the_delay_while_ping_says_503(tmp_path: Path, processes: int) -> None:
    model, flags = models.matmul(tmp_path / "m.onnx"), ("--processes", str(processes))
    with serving(model, tmp_path, "--drain-delay", str(DELAY_S), *flags) as server:
        assert server.ask("GET", "/ping").status == 200
        os.kill(server.child.pid, signal.SIGTERM)
        wait_until(lambda: server.ask("GET", "/ping").status == 503, DELAY_S)
        assert server.infer(ROW, NPY).status == 200
        assert server.child.process.wait(60) == 0
        with pytest.raises(ConnectionRefusedError):
            server.ask("GET", "/ping")


def test_a_second_ctrl_c_ends_the_delay(tmp_path: Path) -> None:
    with serving(models.matmul(tmp_path / "m.onnx"), tmp_path, "--drain-delay", "3600") as server:
        assert server.ask("GET", "/ping").status == 200
        os.kill(server.child.pid, signal.SIGINT)
        wait_until(lambda: server.ask("GET", "/ping").status == 503, 60)
        os.kill(server.child.pid, signal.SIGINT)
        server.child.process.wait(60)
