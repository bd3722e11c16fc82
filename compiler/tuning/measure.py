"""Timing candidates in a process of their own, which a bad one may crash or hang."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeldyno.base.host.facts import usable_cores
from modeldyno.base.process.procs import Child, python_module, start

WORKER = "modeldyno.compiler.tuning.measure_worker"
START_LIMIT_S = 60.0
# One sample is some milliseconds; the first one of a kernel fills its weights too.
SAMPLE_LIMIT_S = 20.0
_END_LIMIT_S = 5.0


class CandidateFailed(Exception):  # noqa: N818 - no error of the user's: the search goes on without it
    """A candidate could not be built, crashed, or hung."""


@dataclass(frozen=True)
class Kernel:
    """A tensor program in a library. Arguments are (kind, shape) of float32: data, weight or output."""

    library: Path
    function: str
    arguments: tuple[tuple[str, tuple[int, ...]], ...]


class Meter:
    """The measuring process, started on first use and again after a crash. A context manager."""

    def __init__(self, limit_s: float = SAMPLE_LIMIT_S) -> None:
        self._limit_s = limit_s
        # The last core: the first is where interrupts and the machine's own work tend to be.
        self._core = usable_cores()[-1]
        self._child: Child | None = None
        self._stream: Any = None
        self._line: socket.socket | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="dyno-tune-")

    def sample(self, kernel: Kernel, calls: int = 1) -> float:
        """Run a kernel `calls` times; give the microseconds of one call.

        Raises:
            CandidateFailed: it crashed the process, took longer than the limit, or refused its arguments.
        """
        reply = self._ask(
            {
                "library": str(kernel.library),
                "function": kernel.function,
                "arguments": kernel.arguments,
                "calls": calls,
            }
        )
        if "us" not in reply:
            raise CandidateFailed(str(reply.get("error", "no time")))
        return float(reply["us"])

    def forget(self) -> None:
        """Let go of the kernels and weights of what was measured before."""
        if self._child is not None:
            with suppress(CandidateFailed):
                self._ask({"forget": True})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._child is None:
            self._start()
        try:
            self._stream.write(json.dumps(request) + "\n")
            self._stream.flush()
            text = self._stream.readline()
        except TimeoutError as error:
            self.stop()
            raise CandidateFailed(f"took longer than {self._limit_s:g} s") from error
        except OSError:
            text = ""
        except BaseException:  # an interrupt: what the worker answers later belongs to no question
            self.stop()
            raise
        if not text.endswith("\n"):
            raise CandidateFailed(self._crash())
        reply: dict[str, Any] = json.loads(text)
        return reply

    def _start(self) -> None:
        address = Path(self._folder.name) / "line"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen(1)
            listener.settimeout(0.2)
            log = Path(self._folder.name) / "worker.log"
            self._child = start(python_module(WORKER, str(address), str(self._core)), log=log)
            self._line = self._accept(listener, self._child)
        self._line.settimeout(self._limit_s)
        self._stream = self._line.makefile("rw", encoding="utf-8", newline="\n")

    def _accept(self, listener: socket.socket, child: Child) -> socket.socket:
        for _ in range(int(START_LIMIT_S / 0.2)):
            with suppress(TimeoutError):
                return listener.accept()[0]
            if child.returncode() is not None:
                break
        tail = child.log_tail(3)
        self.stop()
        raise RuntimeError(f"the measuring process did not start: {tail}")

    def _crash(self) -> str:
        """Word how the process ended."""
        code = 0
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                code = self._child.process.wait(_END_LIMIT_S)
        self.stop()
        return f"killed by signal {-code}" if code < 0 else f"ended the process with status {code}"

    def stop(self) -> None:
        """End the process, if one runs."""
        child, self._child = self._child, None
        for end in (self._stream, self._line):
            if end is not None:
                with suppress(OSError, ValueError):
                    end.close()
        self._stream = self._line = None
        if child is not None:
            child.stop(grace_s=0.0)

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()
