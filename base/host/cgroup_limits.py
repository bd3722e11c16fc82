"""How much CPU and memory the control groups around this process leave it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from modeldyno.base.host.cgroups import OwnGroup

_NO_LIMIT_BYTES = 2**60  # v1 writes "no limit" as the largest number of pages


def cpu_limit_cores(own: OwnGroup | None) -> float | None:
    """Least CPU quota of the group and those around it, in cores; None is no quota."""
    quotas = []
    for folder in _upwards(own):
        for quota, period in (_v2_quota(folder), _v1_quota(folder)):
            with suppress(ValueError):
                quotas.append(int(quota) / int(period))
    return min((quota for quota in quotas if quota > 0), default=None)


def memory_limit_bytes(own: OwnGroup | None) -> int | None:
    """Least memory limit of the group and those around it; None is no limit."""
    limits = []
    for folder in _upwards(own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(ValueError):  # v2 writes "max", and the root group has no such file
                limits.append(int(_read(folder / name)))
    return min((limit for limit in limits if limit < _NO_LIMIT_BYTES), default=None)


def _upwards(own: OwnGroup | None) -> Iterator[Path]:
    if own is None:
        return
    folder = own.folder
    while folder != own.mount and folder.is_relative_to(own.mount):
        yield folder
        folder = folder.parent
    yield own.mount


def _v2_quota(folder: Path) -> tuple[str, str]:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    return quota, period


def _v1_quota(folder: Path) -> tuple[str, str]:
    return _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
