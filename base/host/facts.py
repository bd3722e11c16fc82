"""Facts of the machine that numbers are taken on."""

from __future__ import annotations

import os
import platform
import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from modeldyno.base.host.packages import installed
from modeldyno.base.records.record import HostFacts
from modeldyno.base.units import BYTES_PER_GIB

CODE_FEATURES = (
    *("sse4_2", "ssse3", "popcnt", "avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "movbe"),
    *("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512ifma", "avx512vbmi"),
    *("avx512_vbmi2", "avx512_bitalg", "avx512_vpopcntdq", "gfni"),
    *("avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "asimdhp", "sve", "sve2", "bf16", "i8mm"),
    *(
        "asimdrdm",
        "atomics",
        "lrcpc",
        "asimdfhm",
        "fcma",
        "flagm",
        "ilrcpc",
        "jscvt",
        "flagm2",
        "frint",
    ),
)
# Bits of the words that the kernel gives each process on ARM (uapi/asm/hwcap.h). They tell of the processor
# that code runs on, even of an emulated one, whose /proc/cpuinfo may be that of the machine below.
_HWCAP, _HWCAP2 = 16, 26
_ARM_BITS = {
    _HWCAP: (
        *(("asimd", 1), ("atomics", 8), ("asimdhp", 10), ("asimdrdm", 12), ("jscvt", 13), ("fcma", 14)),
        *(("lrcpc", 15), ("asimddp", 20), ("sve", 22), ("asimdfhm", 23), ("ilrcpc", 26)),
        ("flagm", 27),
    ),
    _HWCAP2: (("sve2", 1), ("flagm2", 7), ("frint", 8), ("i8mm", 13), ("bf16", 14)),
}
MEASURED_PACKAGES = (
    "apache-tvm",
    "apache-tvm-ffi",
    "onnxruntime",
    "onnx",
    "torch",
    "numpy",
    "locust",
    "modeldyno",
)
_EC2_TYPE = re.compile(r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")


class Processor(NamedTuple):
    """What decides whether compiled code can run here; the fields are those of HostFacts."""

    architecture: str
    cpu_features: tuple[str, ...]


@lru_cache(maxsize=1)
def processor() -> Processor:
    """Read what this machine's processor is, and nothing else: loading a model must not wait for more."""
    return Processor(platform.machine(), _features_here(cpu_info(_read("/proc/cpuinfo"))))


@lru_cache(maxsize=1)
def host_facts() -> HostFacts:
    """Read the facts of this machine (Linux in full; elsewhere what the standard library knows)."""
    info = cpu_info(_read("/proc/cpuinfo"))
    return HostFacts(
        cpu_model=info.get("model name") or platform.processor() or "unknown",
        architecture=platform.machine(),
        logical_cores=os.cpu_count() or 1,
        usable_cores=len(usable_cores()),
        threads_per_core=_threads_per_core(info),
        cpu_features=_features_here(info),
        memory_gib=round(_memory_bytes() / BYTES_PER_GIB, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        instance_type=_instance_type(),
        gpus=gpus(),
        packages={name: found for name in MEASURED_PACKAGES if (found := installed(name))},
    )


def usable_cores() -> tuple[int, ...]:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cpu_info(text: str) -> dict[str, str]:
    """First processor of a /proc/cpuinfo text, as a mapping."""
    first = text.split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def cpu_features(info: Mapping[str, str]) -> tuple[str, ...]:
    """Extensions that compiled code may use, in a fixed order."""
    present = set((info.get("flags") or info.get("Features") or "").split())
    return tuple(name for name in CODE_FEATURES if name in present)


def arm_features(auxiliary: bytes) -> tuple[str, ...]:
    """Extensions that an auxiliary vector (pairs of 64-bit numbers: key, value) of an ARM process names."""
    pairs = dict(struct.iter_unpack("<QQ", auxiliary[: len(auxiliary) // 16 * 16]))
    named = ((name, pairs.get(key, 0) >> bit) for key, bits in _ARM_BITS.items() for name, bit in bits)
    present = {name for name, word in named if word & 1}
    return tuple(name for name in CODE_FEATURES if name in present)


def _features_here(info: Mapping[str, str]) -> tuple[str, ...]:
    if platform.machine() not in ("aarch64", "arm64"):
        return cpu_features(info)
    try:
        return arm_features(Path("/proc/self/auxv").read_bytes())
    except OSError:
        return cpu_features(info)


def gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs, as nvidia-smi tells; empty where there is none."""
    import subprocess  # here: loading a model must not wait for it

    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],  # noqa: S607 - found on PATH by design
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def _threads_per_core(info: Mapping[str, str]) -> int:
    siblings, cores = info.get("siblings"), info.get("cpu cores")
    if siblings and cores and int(cores):
        return max(1, int(siblings) // int(cores))
    return 1


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _instance_type() -> str | None:
    """Nitro machines name their type in the DMI table; no request to the metadata service is made."""
    if "Amazon" not in _read("/sys/devices/virtual/dmi/id/sys_vendor"):
        return None
    name = _read("/sys/devices/virtual/dmi/id/product_name").strip()
    return name if _EC2_TYPE.match(name) else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
