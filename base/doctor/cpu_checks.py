"""The CPU: what it is, what it can do, how much of it is free."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from modeldyno.base.doctor.findings import Finding, Status, finding, read_text
from modeldyno.base.host.cgroup_limits import cpu_limit_cores
from modeldyno.base.host.cgroups import own_group
from modeldyno.base.host.facts import host_facts, usable_cores
from modeldyno.base.records.record import HostFacts

SAMPLE_S = 0.5
BUSY_CORES_NOTED = 0.2

CpuTimes = Mapping[str, Sequence[int]]


def cpu_findings() -> list[Finding]:
    """Look at the CPU, for half a second."""
    facts = host_facts()
    before = cpu_times(read_text("/proc/stat"))
    time.sleep(SAMPLE_S)
    after = cpu_times(read_text("/proc/stat"))
    return [
        processor(facts),
        vector_units(facts.cpu_features, facts.architecture),
        governor(read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        cpu_quota(cpu_limit_cores(own_group("cpu")), facts.usable_cores),
        free_cores(before, after, usable_cores()),
    ]


def processor(facts: HostFacts) -> Finding:
    """Name the CPU and how much of it this process may use."""
    cores = f"{facts.usable_cores} of {facts.logical_cores} cores usable"
    text = f"{facts.cpu_model} ({facts.architecture}), {cores}"
    if facts.threads_per_core == 1:
        return finding(
            "CPU", "processor", "ok", f"{text}, one hardware thread each as far as the system tells"
        )
    return finding(
        "CPU",
        "processor",
        "note",
        f"{text}, {facts.threads_per_core} hardware threads share a physical core",
        "read scaling over threads with care: the second thread of a core adds far less than the first",
    )


def vector_units(features: Sequence[str], architecture: str) -> Finding:
    """Say what the vector extensions mean for compiled code."""
    text, status = _float_width(features, architecture)
    extras = [
        meaning
        for names, meaning in (
            (("avx512_vnni", "avx_vnni", "asimddp"), "int8 dot products"),
            (("avx512_bf16", "bf16"), "bfloat16"),
            (("avx512_fp16", "asimdhp"), "float16 arithmetic"),
            (("amx_tile", "i8mm"), "matrix instructions"),
        )
        if set(names) & set(features)
    ]
    extra = f"; also {', '.join(extras)}" if extras else ""
    advice = "" if status == "ok" else "models run several times slower here than on a current server CPU"
    return finding("CPU", "vector_units", status, text + extra, advice)


def _float_width(features: Sequence[str], architecture: str) -> tuple[str, Status]:
    if "avx512f" in features:
        return "AVX-512: 16 float32 per instruction", "ok"
    if "avx2" in features and "fma" in features:
        return "AVX2 with FMA: 8 float32 per instruction", "ok"
    if "sve" in features:
        return "SVE: 4 or more float32 per instruction, by the width of the chip", "ok"
    if "asimd" in features:
        return "NEON: 4 float32 per instruction", "ok"
    if architecture in {"x86_64", "AMD64"}:
        return "no AVX2 with FMA: 4 to 8 float32 per instruction, multiply and add apart", "note"
    return "vector extensions are not told on this system", "note"


def governor(name: str) -> Finding:
    """Judge the frequency governor; empty where the system shows none (virtual machines)."""
    if not name:
        return finding("CPU", "governor", "ok", "frequency governor not visible (usual in a virtual machine)")
    if name == "performance":
        return finding("CPU", "governor", "ok", "frequency governor: performance")
    advice = "for steady numbers: cpupower frequency-set -g performance (as root)"
    return finding(
        "CPU", "governor", "note", f"frequency governor: {name}; clock speed follows the load", advice
    )


def cpu_quota(quota_cores: float | None, usable: int) -> Finding:
    """Judge the control groups' CPU quota: a process over it is stopped for the rest of each period."""
    if quota_cores is None or quota_cores >= usable:
        return finding("CPU", "cpu_quota", "ok", "no CPU quota below the usable cores")
    return finding(
        "CPU",
        "cpu_quota",
        "note",
        f"a quota of {quota_cores:g} cores on {usable} usable ones: over it all threads stand still",
        "measure without a quota, or with fewer threads than it allows; latency tails come from it",
    )


def free_cores(before: CpuTimes, after: CpuTimes, cores: Sequence[int]) -> Finding:
    """Say how many of `cores` were idle between two readings of /proc/stat."""
    names = [name for name in (f"cpu{core}" for core in cores) if name in before and name in after]
    if not names:
        return finding("CPU", "free_cores", "note", "the load of the cores is not told on this system")
    free = sum(_shares(before[name], after[name])[0] for name in names)
    text = f"{free:.1f} of {len(names)} usable cores are idle now"
    if len(names) - free <= BUSY_CORES_NOTED:
        return finding("CPU", "free_cores", "ok", text)
    return finding(
        "CPU", "free_cores", "note", text, "end other work before measuring: it ends up in the latencies"
    )


def cpu_times(text: str) -> dict[str, tuple[int, ...]]:
    """Return ticks (user nice system idle iowait irq softirq steal) by `cpu` line of /proc/stat."""
    rows = (line.split() for line in text.splitlines() if line.startswith("cpu"))
    return {row[0]: tuple(int(ticks) for ticks in row[1:9]) for row in rows if len(row) >= 9}


def steal_share(before: CpuTimes, after: CpuTimes) -> float:
    """Share of all CPU time between two readings that the hypervisor gave to others, 0 to 1."""
    zeros = (0,) * 8
    return _shares(before.get("cpu", zeros), after.get("cpu", zeros))[1]


def _shares(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """Return the shares of idle time (waiting for disks is idle) and of stolen time."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    total = sum(spent) or 1
    return (spent[3] + spent[4]) / total, spent[7] / total
