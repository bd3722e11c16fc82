"""A memory cap for child processes by Linux control groups (v1 and v2), where the system allows one.

A capped group is made below this process's own group. On v2 a group with processes of its own can't have
capped groups below it (the no-internal-process rule), so there it is made beside this process's group, if
that is allowed. Nothing is changed for this process itself.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from modeldyno.base.errors import ServerError

PREFIX = "dyno-"
REMOVAL_TIMEOUT_S = 10.0
_PROC_SELF = Path("/proc/self")


class MemoryCgroup:
    """A capped group. Processes started by one that was added belong to it too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, pid: int) -> None:
        """Move a process in; do it right after the start, for what it has allocated before is not counted.

        A process that has ended already is left to whoever waits for it.

        Raises:
            ServerError: the system refuses the move.
        """
        try:
            (self.folder / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            return
        except OSError as error:
            raise ServerError(
                f"cannot put process {pid} under the cap of {self.folder}: {error.strerror}"
            ) from error


class OwnGroup(NamedTuple):
    """The group of this process under one controller."""

    folder: Path
    mount: Path
    version: int


class _RefusedError(Exception):
    """Why there can be no capped group, in words."""


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[MemoryCgroup | None]:
    """Yield a group whose processes together get `limit_bytes` of memory and no swap, or None.

    None where the system does not allow it; `memory_cap_refusal` says why. A process that allocates more is
    killed by the kernel. The group is removed at the end, when its processes have gone.
    """
    folder: Path | None = None
    with suppress(_RefusedError):
        folder = _make(limit_bytes, own_group("memory"))
    try:
        yield MemoryCgroup(folder) if folder else None
    finally:
        if folder:
            _remove(folder)


def memory_cap_refusal() -> str | None:
    """Say why memory can't be capped here, or None when it can; tries with a real group."""
    try:
        folder = _make(64 * 2**20, own_group("memory"))
    except _RefusedError as refusal:
        return str(refusal)
    try:
        _move_a_child_in(MemoryCgroup(folder))
    except ServerError as error:
        return str(error)
    finally:
        _remove(folder)
    return None


def oom_killed(group: MemoryCgroup) -> int:
    """How many processes of the group the kernel has killed because they went over the cap."""
    for name in ("memory.events", "memory.oom_control"):  # v2, v1
        for line in _read(group.folder / name).splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
    return 0


def own_group(controller: str, proc: Path = _PROC_SELF) -> OwnGroup | None:
    """Find the group of this process under `controller` (v1), else in the unified hierarchy (v2)."""
    paths = {}
    for line in _read(proc / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    mounts = _read(proc / "mountinfo").splitlines()
    if controller in paths:
        return _locate(paths[controller], mounts, "cgroup", controller)
    return _locate(paths[""], mounts, "cgroup2", None) if "" in paths else None


def _locate(path: str, mounts: list[str], kind: str, controller: str | None) -> OwnGroup | None:
    for line in mounts:
        fields, _, tail = line.partition(" - ")
        found, _, options = tail.split(" ", 2)
        if found != kind or (controller is not None and controller not in options.split(",")):
            continue
        root, mount = fields.split(" ")[3:5]
        # A container may see only its own subtree: the mount's root is then the start of the path.
        inside = os.path.relpath(path, root) if Path(path).is_relative_to(root) else path.lstrip("/")
        point = Path(mount.replace("\\040", " "))
        return OwnGroup(point / inside, point, 1 if kind == "cgroup" else 2)
    return None


def _make(limit_bytes: int, own: OwnGroup | None) -> Path:
    if own is None:
        raise _RefusedError("no control groups are mounted here")
    parent = own.folder if own.version == 1 else _v2_parent(own)
    _remove_stale(parent)
    folder = parent / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir()
    except OSError as error:
        raise _RefusedError(f"no group can be made in {parent}: {error.strerror}") from error
    try:
        _cap(folder, limit_bytes, own.version)
    except OSError as error:
        _remove(folder)
        raise _RefusedError(f"the cap of {folder} can't be set: {error.strerror}") from error
    return folder


def _cap(folder: Path, limit_bytes: int, version: int) -> None:
    """Cap memory, and swap with it where the kernel accounts for swap."""
    if version == 1:
        (folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
        names = {"memory.memsw.limit_in_bytes": limit_bytes, "memory.swappiness": 0}
    else:
        (folder / "memory.max").write_text(str(limit_bytes))
        names = {"memory.swap.max": 0}
    for name, value in names.items():
        if (folder / name).exists():
            (folder / name).write_text(str(value))


def _v2_parent(own: OwnGroup) -> Path:
    """Return the nearest group that hands the memory controller to groups below it, made so if need be."""
    if "memory" in _read(own.folder / "cgroup.subtree_control").split():
        return own.folder
    if "memory" not in _read(own.folder / "cgroup.controllers").split():
        raise _RefusedError(f"the group {own.folder} is not given the memory controller")
    try:
        (own.folder / "cgroup.subtree_control").write_text("+memory")
    except OSError as error:
        if own.folder == own.mount:
            raise _RefusedError(
                f"the group {own.folder} can't have capped groups below it: {error.strerror} "
                "(cgroup v2 allows none where processes are)"
            ) from error
        return own.folder.parent  # it gives memory to this group, so it does to a sibling
    return own.folder


def _move_a_child_in(group: MemoryCgroup) -> None:
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        group.add(child.pid)


def _remove_stale(parent: Path) -> None:
    """Remove empty groups that a killed process left behind."""
    for folder in parent.glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            with suppress(OSError):
                folder.rmdir()


def _remove(folder: Path) -> None:
    """Remove the group; a killed process stays in it until its memory is given back, so try again."""
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    pause_s = 0.005
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                warnings.warn(f"cannot remove {folder}: {error.strerror}", ResourceWarning, stacklevel=2)
                return
        else:
            return
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.2)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
