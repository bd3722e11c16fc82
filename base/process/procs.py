"""Child processes that never outlive their parent, with their output kept in a log file."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

PARENT_VARIABLE = "DYNO_PARENT_PID"
_PR_SET_PDEATHSIG = 1
_DEATH_LIMIT_S = 5.0  # a killed process ends at once, but giving back much memory takes a moment


class Child:
    """What `start` started, head of a process group of its own. As a context manager: leaving ends it."""

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
        """Ask the whole group to end (SIGTERM), then make it (SIGKILL); return the child's exit status.

        On return no process of the group is left, except one that the kernel cannot end within 5 s.
        """
        if self not in _unstopped:  # its number may be another's by now
            return self.process.wait()
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # one that is paused hears nothing else
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
        code = self.process.wait()
        deadline = time.monotonic() + _DEATH_LIMIT_S
        while _any_alive(self.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        _unstopped.pop(self, None)
        return code

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


# Every child from its first moment until `stop` is through with it, the oldest first.
_unstopped: dict[Child, None] = {}


@atexit.register
def stop_all() -> None:
    """Stop every child that was started and not stopped yet, the newest first.

    An interrupt may come between `start` and the `with` that would stop the child, or cut a `stop` short.
    Whoever catches it calls this before saying that nothing runs any more; leaving the interpreter does too.
    """
    for child in reversed(tuple(_unstopped)):
        child.stop()


os.register_at_fork(after_in_child=_unstopped.clear)  # they are the parent's, not the fork's


def start(
    args: Sequence[str],
    *,
    log: Path | None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start `args` in a process group of its own with its output in `log`; None: where this process's goes.

    Of the open descriptors it inherits `pass_fds` alone.

    A child that calls `end_with_parent()` first thing also ends when this process is killed. Start it from a
    thread that stays alive as long as it should: the kernel ties it to the thread, not the process.

    An interrupt that comes meanwhile is handled when the child is known to `stop_all`.
    """
    full = {**os.environ, **(env or {}), PARENT_VARIABLE: str(os.getpid())}
    with _output(log) as stream, _interrupts_held_back():
        process = subprocess.Popen(
            list(args),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=None if stream is None else subprocess.STDOUT,
            env=full,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
        child = Child(process, log or Path(os.devnull))
        _unstopped[child] = None
    return child


def python_module(module: str, *args: str) -> list[str]:
    """Command line that runs a module with this very interpreter; none of the current folder's (-P)."""
    return [sys.executable, "-P", "-m", module, *args]


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


@contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | None]:
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        yield stream


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM wait; on leaving their handlers are called.

    By handlers, not by a signal mask: a child would inherit the mask, and another thread could still take the
    signal. One that is ignored, or has its default action, raises nothing here; the child is to inherit that.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run in the main thread only
        yield
        return
    found = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    waiting: list[int] = []
    held = True

    def gate(number: int, frame: FrameType | None) -> None:
        if held:
            waiting.append(number)
        else:
            handlers[number](number, frame)

    try:
        for number in handlers:
            signal.signal(number, gate)
        yield
    finally:
        held = False  # first: should an interrupt end the next line early, the gate that stays is an open one
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in waiting:
            signal.raise_signal(number)


def _any_alive(group: int) -> bool:
    """Whether a process of the group lives. A zombie does not, and where nobody waits for it, it stays."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of zombies
        pass
    import psutil  # here, since only a group that outlives its head comes this far

    ended = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended meanwhile
            if os.getpgid(process.pid) == group and process.status() not in ended:
                return True
    return False
