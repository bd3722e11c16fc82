"""The machine around the CPU: memory, control groups, timing, limits."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from modeldyno.base.doctor.cpu_checks import cpu_times, steal_share
from modeldyno.base.doctor.findings import Finding, finding, read_text
from modeldyno.base.host.cgroup_limits import memory_limit_bytes
from modeldyno.base.host.cgroups import memory_cap_refusal, own_group
from modeldyno.base.host.facts import cpu_info
from modeldyno.base.units import BYTES_PER_GIB

STEAL_NOTED = 0.01
FEW_OPEN_FILES = 4096
FILES_OF_ITS_OWN = 200  # libraries, logs, sockets that no user stands for
LITTLE_DISK_GIB = 2.0
GOOD_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page")


def machine_findings(folder: Path) -> list[Finding]:
    """Look at memory, control groups, timing and limits; `folder` is where results would go."""
    hypervisor = "hypervisor" in cpu_info(read_text("/proc/cpuinfo")).get("flags", "").split()
    steal = steal_share({}, cpu_times(read_text("/proc/stat")))
    return [
        memory(cpu_info(read_text("/proc/meminfo")), memory_limit_bytes(own_group("memory"))),
        memory_cap(memory_cap_refusal()),
        clock(read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        virtual_machine(hypervisor, steal),
        open_files(_open_file_limit()),
        loopback(_loopback_error()),
        disk(shutil.disk_usage(folder).free / BYTES_PER_GIB, os.access(folder, os.W_OK), folder),
    ]


def memory(meminfo: Mapping[str, str], limit_bytes: int | None) -> Finding:
    """Say how much memory there is, is free, and is allowed."""
    total, available, swap = (
        _kib_to_gib(meminfo.get(key, "")) for key in ("MemTotal", "MemAvailable", "SwapTotal")
    )
    text = f"{total:.1f} GiB, {available:.1f} GiB available, swap {swap:.1f} GiB"
    limit_gib = None if limit_bytes is None else limit_bytes / BYTES_PER_GIB
    if limit_gib is None or limit_gib >= total:
        return finding("Memory", "memory", "ok", text)
    return finding(
        "Memory",
        "memory",
        "note",
        f"{text}; the control group of this process is limited to {limit_gib:.1f} GiB",
        "instance types with more memory than that can't be emulated in full",
    )


def _kib_to_gib(value: str) -> float:
    number = value.partition(" ")[0]
    return int(number) / 2**20 if number.isdigit() else 0.0


def memory_cap(refusal: str | None) -> Finding:
    """Say whether emulated instance types can be given their memory size."""
    found = own_group("memory")
    version = f" (cgroup v{found.version})" if found else ""
    if refusal is None:
        text = (
            f"memory can be capped{version}, as a trial showed: emulated instance types get their memory size"
        )
        return finding("Control groups", "memory_cap", "ok", text)
    return finding(
        "Control groups",
        "memory_cap",
        "note",
        f"memory caps are not enforced: trials say so. {refusal}",
        "run as root, or on a systemd machine try: systemd-run --user --scope dyno ...",
    )


def clock(name: str) -> Finding:
    """Judge the clock source; a slow one costs microseconds at each time stamp."""
    if name in GOOD_CLOCKS:
        return finding("Timing", "clock", "ok", f"clock source: {name}")
    if not name:
        return finding("Timing", "clock", "note", "clock source not told on this system")
    return finding(
        "Timing",
        "clock",
        "note",
        f"clock source: {name}; reading the time may take a microsecond or more",
        f"use one of: {', '.join(GOOD_CLOCKS)}",
    )


def virtual_machine(hypervisor: bool, steal: float) -> Finding:
    """Say whether neighbours can take CPU time, and how much they took since the start of the machine."""
    if not hypervisor and steal == 0:
        text = "no hypervisor flag and no stolen time: no neighbours seen"
        return finding("Timing", "virtual_machine", "ok", text)
    text = f"virtual machine; {steal:.1%} of its CPU time since it started went to its neighbours (steal)"
    if steal < STEAL_NOTED:
        return finding("Timing", "virtual_machine", "ok", text)
    advice = "repeat measurements and compare only those that were taken in turns"
    return finding("Timing", "virtual_machine", "note", text, advice)


def open_files(limit: int | None) -> Finding:
    """Judge `ulimit -n`: each user of a load test is an open socket in generator and server."""
    if limit is None:
        return finding("Limits", "open_files", "ok", "no limit on open files known")
    text = f"{limit} open files per process: enough for about {max(0, limit - FILES_OF_ITS_OWN)} users"
    if limit >= FEW_OPEN_FILES:
        return finding("Limits", "open_files", "ok", text)
    return finding("Limits", "open_files", "note", text, "for more users: ulimit -n 20000")


def loopback(error: str | None) -> Finding:
    """Say whether a server on 127.0.0.1 can be reached."""
    if error is None:
        return finding("Limits", "loopback", "ok", "a server on 127.0.0.1 can be reached")
    return finding(
        "Limits", "loopback", "missing", f"a server on 127.0.0.1 can't be reached: {error}", "bring up `lo`"
    )


def disk(free_gib: float, writable: bool, folder: Path) -> Finding:
    """Judge the folder that results would go to."""
    text = f"{free_gib:.1f} GiB free in {folder}"
    if not writable:
        return finding(
            "Limits", "disk", "note", f"{folder} can't be written", "give --output in another folder"
        )
    if free_gib >= LITTLE_DISK_GIB:
        return finding("Limits", "disk", "ok", text)
    return finding("Limits", "disk", "note", text, "compiled models are as large as their weights: make room")


def _open_file_limit() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _loopback_error() -> str | None:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=2).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
