"""Waiting for a server that writes its port into a file once it listens."""

from __future__ import annotations

import time
from pathlib import Path

from modeldyno.base.process.procs import Child

READY_S = 60.0


def wait_for_port(child: Child, port_file: Path) -> int:
    """Give the port that `child` writes into `port_file`.

    Raises:
        SystemExit: it ended, or took longer than READY_S; with its last lines.
    """
    deadline_s = time.monotonic() + READY_S
    while not port_file.exists():
        if child.returncode() is not None or time.monotonic() > deadline_s:
            raise SystemExit(f"the server did not start:\n{child.log_tail()}")
        time.sleep(0.02)
    return int(port_file.read_text())
