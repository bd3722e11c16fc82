"""The linker: TVM's object files become the artifact's shared library.

LLD links for every target, from the package ziglang: no compiler needs to be installed, and one linker gives
the same library everywhere. The library names no other: what its code calls (memset, expf, TVM's runtime) is
in the process already when the runtime loads it.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modeldyno.base.errors import CompileError, OutputError
from modeldyno.base.process.procs import python_module
from modeldyno.compiler.targets.catalog import CompileTarget

# With less than this free, a linker that was killed by a signal is taken to have met a full disk.
FULL_BYTES = 1 << 20
_EMULATIONS = {"x86_64": "elf_x86_64", "aarch64": "aarch64linux"}


def link(executable: Any, library: Path, target: CompileTarget) -> None:
    """Write `executable` as the shared library `library`.

    Raises:
        CompileError: the linker is missing, or failed. OutputError: the disk is full.
    """
    emulation = _EMULATIONS[target.architecture]

    def run(output: str, objects: Sequence[str], **_: Any) -> None:
        if any(str(path).endswith(".c") for path in objects):
            raise RuntimeError(
                "no operator of this model became machine code; serve the source model instead"
            )
        lld(
            [
                "-m",
                emulation,
                "-shared",
                "--strip-debug",
                "-z",
                "noexecstack",
                "-o",
                str(output),
                *map(str, objects),
            ]
        )

    try:
        executable.export_library(str(library), fcompile=run)
    except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
        text = str(error).strip()
        if os.strerror(errno.ENOSPC) in text or shutil.disk_usage(library.parent).free < FULL_BYTES:
            raise OutputError(f"cannot write {library}: {os.strerror(errno.ENOSPC)}") from error
        detail = _telling(text) or type(error).__name__
        raise CompileError(f"linking failed: {detail}", stage="link", target=target.name) from error


def _telling(text: str) -> str:
    """Give the line that says what went wrong: LLD draws pictures behind it."""
    lines = text.splitlines()
    return next((line for line in lines if "error:" in line), lines[-1] if lines else "")


def lld(arguments: Sequence[str]) -> None:
    """Call LLD.

    Raises:
        RuntimeError: it failed; the text is what it said.
    """
    command = python_module("ziglang", "ld.lld", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr or f"the linker ended with status {done.returncode}")
