"""The linker: TVM's object files become the artifact's shared library."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compiler.targets import CompileTarget
from dyno.errors import CompileError, OutputError
from dyno.host import host_facts

Linker = Callable[..., None]
# With less than this free, a linker that was killed by a signal is taken to have met a full disk.
FULL_BYTES = 1 << 20


def find_linker(target: CompileTarget) -> Linker | None:
    """Give the function that links for `target`; None for TVM's own, which calls the system's C++ compiler.

    Raises:
        CompileError: nothing here links for that processor.
    """
    here = host_facts().architecture.replace("arm64", "aarch64")
    if target.architecture in ("", here):
        _check_system_linker(target)
        return None
    if importlib.util.find_spec("ziglang") is None:
        raise CompileError(
            f"linking for {target.architecture} ({target.name}) on this {here} machine needs a cross linker: "
            "install the package ziglang (`pip install ziglang`), or compile on a machine of that kind",
            stage="link",
            target=target.name,
        )
    return _zig(target.triple)


def link(executable: Any, library: Path, target: CompileTarget) -> None:
    """Write `executable` as the shared library `library`.

    Raises:
        CompileError: there is no linker, or it failed. OutputError: the disk is full.
    """
    linker = find_linker(target)
    try:
        executable.export_library(str(library), fcompile=linker)
    except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
        text = str(error).strip()
        if os.strerror(errno.ENOSPC) in text or shutil.disk_usage(library.parent).free < FULL_BYTES:
            raise OutputError(f"cannot write {library}: {os.strerror(errno.ENOSPC)}") from error
        detail = text.splitlines()[-1] if text else type(error).__name__
        raise CompileError(f"linking failed: {detail}", stage="link", target=target.name) from error


def _check_system_linker(target: CompileTarget) -> None:
    from tvm.support.cc import get_cc

    if get_cc() is None:
        raise CompileError(
            "TVM needs gcc or clang on PATH to link the artifact (`dyno doctor` checks)",
            stage="link",
            target=target.name,
        )


def _zig(triple: str) -> Linker:
    def run(output: str, objects: Sequence[str], options: Sequence[str] | None = None, **_: Any) -> None:
        command = [sys.executable, "-m", "ziglang", "cc", "-target", triple]
        done = subprocess.run(
            [*command, "-shared", "-fPIC", "-o", str(output), *map(str, objects), *(options or ())],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr or f"ziglang ended with status {done.returncode}")

    return run
