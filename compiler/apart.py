"""A compile in a process of its own, with limits on time and memory: nothing else ends LLVM."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from modeldyno.base.errors import CompileError
from modeldyno.base.exit_codes import INTERRUPTED
from modeldyno.base.host.cgroup_limits import memory_limit_bytes
from modeldyno.base.host.cgroups import own_group
from modeldyno.base.process.interrupts import interrupted_by_sigterm
from modeldyno.base.process.procs import Child, start
from modeldyno.base.units import BYTES_PER_MIB

MEMORY_SHARE = 0.9  # of what the machine, or the control group around this process, has
LOOK_S = 0.1  # memory that grows by 1 GiB a second is seen 100 MiB late
GRACE_S = 5.0  # for taking down what was begun; LLVM does not listen
_STAGE, _LIMITS = "stage", "limits"
_START = "start"  # before the first stage
_WAY_OUT = (
    "`fallback=onnxruntime` leaves to ONNX Runtime what can't be compiled, `winograd=False` makes smaller "
    "kernels, and `dump_dir` keeps the module after each stage"
)


@dataclass(frozen=True)
class Limits:
    """What a compile may take. `seconds` None is no limit."""

    memory_mib: int
    seconds: float | None = None

    def __str__(self) -> str:
        until = "no time limit" if self.seconds is None else f"{self.seconds:g} s"
        return f"{self.memory_mib} MiB of memory, {until}"


def limits_of(memory_mib: int | None, seconds: float | None) -> Limits:
    """Give the limits that were asked for; of memory, most of what there is where none was."""
    if memory_mib is not None:
        return Limits(memory_mib, seconds)
    there = psutil.virtual_memory().total
    allowed = memory_limit_bytes(own_group("memory"))
    return Limits(int(min(there, allowed or there) * MEMORY_SHARE) // BYTES_PER_MIB, seconds)


def run_apart(command: Sequence[str], output: Path, name: str, limits: Limits) -> int:
    """Run `command`, a compile of the model `name` into the folder `output`; give its exit status.

    The command gets one more argument: a folder for what it says to this process. It writes to this
    process's own stdout and stderr. Whatever it leaves when it is ended is removed.

    Raises:
        CompileError: it took more than the limits, or was killed; names the stage that it was in.
        KeyboardInterrupt: this process or the command was interrupted.
    """
    known = set(_beside(output))
    with tempfile.TemporaryDirectory(prefix="dyno-compile-") as folder, interrupted_by_sigterm():
        (Path(folder) / _LIMITS).write_text(str(limits))
        try:
            with start([*command, folder], log=None, env={"TMPDIR": folder}) as child:
                why = _watch(child, limits)
                code = child.stop(grace_s=0.0) if why else child.process.wait()
        finally:
            for left in set(_beside(output)) - known:
                shutil.rmtree(left, ignore_errors=True)
        if why or code < 0:
            stage = stage_of(Path(folder))
            raise CompileError(
                f"{name}: the compile {why or _signalled(code)} {_where(stage)}",
                hint=None if stage == _START else _WAY_OUT,
                stage=stage,
                target="",
            )
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code


@contextmanager
def silent_interrupts() -> Iterator[None]:
    """Inside, an interrupt ends the process without a word: the one that runs it says so, at the very end."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def note_stage(folder: Path, stage: str) -> None:
    """Tell the process that runs this one, by its folder, which stage begins."""
    with suppress(OSError):  # it is gone, and will end this process
        (folder / _STAGE).write_text(stage)


def stage_of(folder: Path) -> str:
    """Give the stage that was begun last."""
    with suppress(OSError):
        return (folder / _STAGE).read_text()
    return _START


def _where(stage: str) -> str:
    """Word the stage that a compile ended in."""
    if stage == _START:
        return "while the compiler was loaded, before it looked at the model: it needs more than that"
    return f"in stage {stage!r}"


def limits_text(folder: Path) -> str:
    """Give the limits of this process in words."""
    with suppress(OSError):
        return (folder / _LIMITS).read_text()
    return ""


def _watch(child: Child, limits: Limits) -> str:
    """Wait for a child's end; say which limit it went over, if it did. An interrupt is handed on to it."""
    began = time.monotonic()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(LOOK_S)
                return ""
            if limits.seconds is not None and time.monotonic() - began > limits.seconds:
                return f"took more than its time limit of {limits.seconds:g} s (`time_limit_s`)"
            if _memory_mib(child.pid) > limits.memory_mib:
                return f"took more than its memory limit of {limits.memory_mib} MiB (`memory_limit_mib`)"
    except KeyboardInterrupt:
        with suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(GRACE_S)
        raise


def _memory_mib(pid: int) -> float:
    """Memory that is a process's own: pages of files can be given back at any time."""
    try:
        found = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0.0
    return (found.rss - getattr(found, "shared", 0)) / BYTES_PER_MIB


def _signalled(code: int) -> str:
    if -code == signal.SIGKILL:
        return (
            "was killed, most likely by the system for want of memory (`memory_limit_mib` ends it before "
            "that),"
        )
    with suppress(ValueError):
        return f"crashed ({signal.Signals(-code).name})"
    return f"crashed (signal {-code})"


def _beside(output: Path) -> Iterator[Path]:
    """Folders beside an output that a compile into it may have begun."""
    return output.absolute().parent.glob(f".{output.name}.*")
