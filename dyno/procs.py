"""Child processes that never outlive their parent, with their output kept in a log file."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PARENT_VARIABLE = "DYNO_PARENT_PID"
_PR_SET_PDEATHSIG = 1


class Child:
    """A running child, head of a process group of its own. Use as a context manager: leaving ends it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Process id of the child itself."""
        return self.process.pid

    def returncode(self) -> int | None:
        """Exit status, or None while it runs."""
        return self.process.poll()

    def log_tail(self, lines: int = 20) -> str:
        """Last lines that the child wrote to stdout and stderr."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def stop(self, grace_s: float = 10.0) -> int:
        """Ask the whole group to end (SIGTERM), then make it (SIGKILL); return the exit status."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
        return self.process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(args: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> Child:
    """Start `args` in a process group of its own with its output in `log`.

    A child that calls `end_with_parent()` first thing also ends when this process is killed. Start it from a
    thread that stays alive as long as it should: the kernel ties it to the thread, not the process.
    """
    full = {**os.environ, **(env or {}), PARENT_VARIABLE: str(os.getpid())}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            list(args),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=full,
            start_new_session=True,
        )
    return Child(process, log)


def python_module(module: str, *args: str) -> list[str]:
    """Command line that runs a module with this very interpreter."""
    return [sys.executable, "-m", module, *args]


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask the kernel to signal this process when the parent that `start`ed it is gone (Linux only)."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the line above
        os.kill(os.getpid(), number)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
