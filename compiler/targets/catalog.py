"""Compilation targets: frozen presets with their facts, and what `host` is here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.base.records.record import HostFacts
from modeldyno.compiler.targets.machine import Machine
from modeldyno.compiler.targets.names import known_names, preset_of
from modeldyno.runtime.artifact import missing_features

# All that LLVM may use for a processor of that name, in the kernel's words: an artifact must never meet an
# instruction that the machine lacks.
_V2 = ("sse4_2", "ssse3", "popcnt")
_V3 = (*_V2, "avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "movbe")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_VNNI = (*_V4, "avx512_vnni")
_BITS = ("avx512ifma", "avx512vbmi", "avx512_vbmi2", "avx512_bitalg", "avx512_vpopcntdq", "gfni")
_ICE = (*_VNNI, *_BITS)
_SPR = (*_ICE, "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16")
_ARM82 = ("asimd", "asimddp", "asimdhp", "asimdrdm", "atomics", "lrcpc")
_ARM84 = (*_ARM82, "asimdfhm", "bf16", "fcma", "flagm", "i8mm", "ilrcpc", "jscvt")
_ARM90 = (*_ARM84, "flagm2", "frint")
# SVE's vectors are as long as the processor says at run time. Our tiles are NEON's; LLVM must not mix them.
_NO_SVE = ("-sve",)
_KIB = 1 << 10
# What a block may have on all GPUs from sm_75 on (CUDA programming guide, compute capabilities): more shared
# memory has to be asked for, and differs.
_GPU_LIMITS = {"max_num_threads": 1024, "thread_warp_size": 32, "max_shared_memory_per_block": 48 << 10}
_GPU_HOST = "x86-64-v2"  # for the code that starts kernels: all machines with these GPUs run it


# LLVM's loop vectorizer makes wrong code of loops with a branch in them where it may use vectors of 512 bits:
# lanes of the branch not taken get into the result (seen in two concatenated halves that are read through a
# reshape). Our rules leave no branch inside of a vector, so nothing is lost without it.
_NO_IF_CONVERSION = "-enable-if-conversion:bool=0"


@dataclass(frozen=True)
class CompileTarget:
    """One thing to compile for. `features` are the kernel's names for what the code may use."""

    name: str
    kind: str  # llvm or cuda
    triple: str
    cpu: str  # LLVM's name of the processor; sm_XY for cuda: GPUs of the same X and the same or a larger Y
    features: tuple[str, ...]
    machine: Machine
    note: str
    attributes: tuple[str, ...] = ()  # LLVM attributes beyond those of `cpu`, e.g. -amx-tile

    @property
    def architecture(self) -> str:
        """x86_64 or aarch64, as the kernel says; of the processor beside it for a GPU."""
        return self.triple.split("-", 1)[0]

    def tvm_target(self, llvm_level: int | None = None) -> Any:
        """Return TVM's own object for this target; `llvm_level` is LLVM's -O (else 3)."""
        import tvm

        if self.kind == "cuda":
            host = {"kind": "llvm", "mtriple": self.triple, "mcpu": _GPU_HOST}
            return tvm.target.Target({"kind": "cuda", "arch": self.cpu, **_GPU_LIMITS, "host": host})
        description: dict[str, Any] = {"kind": self.kind, "mtriple": self.triple, "mcpu": self.cpu}
        if self.kind == "llvm":
            description["cl-opt"] = [_NO_IF_CONVERSION]
            if llvm_level is not None:
                description["opt-level"] = llvm_level
        if self.attributes:
            description["mattr"] = list(self.attributes)
        return tvm.target.Target(description)


def _x86(name: str, features: tuple[str, ...], lanes: int, l2_kib: int, note: str) -> CompileTarget:
    # SSE and AVX name 16 registers, AVX-512 names 32 (Intel SDM volume 1, 3.2.1 and 15.1).
    machine = Machine(lanes, registers=32 if lanes == 16 else 16, l2_bytes=l2_kib * _KIB)
    return CompileTarget(name, "llvm", "x86_64-linux-gnu", name, features, machine, note)


def _arm(
    name: str, features: tuple[str, ...], l2_kib: int, note: str, attributes: tuple[str, ...] = ()
) -> CompileTarget:
    # 32 vector registers of 128 bits: Arm Architecture Reference Manual for A-profile, B1.2.1.
    machine = Machine(lanes=4, registers=32, l2_bytes=l2_kib * _KIB)
    return CompileTarget(name, "llvm", "aarch64-linux-gnu", name, features, machine, note, attributes)


def _cuda(number: int, note: str) -> CompileTarget:
    machine = Machine(lanes=4, registers=16, l2_bytes=256 * _KIB)  # of the code that starts the kernels
    return CompileTarget(f"cuda-sm_{number}", "cuda", "x86_64-linux-gnu", f"sm_{number}", _V2, machine, note)


# The last number is the second-level cache in KiB that one core has for itself, of the server parts of that
# name. Intel: Optimization Reference Manual (chapters on each microarchitecture); AMD: Software Optimization
# Guides of families 19h and 1Ah, section 2.6; Arm: Technical Reference Manuals of the cores, with what the
# maker of the chip chose where they leave a choice. A level has that of the smallest of its processors.
TARGETS: dict[str, CompileTarget] = {
    target.name: target
    for target in (
        _x86("x86-64-v2", _V2, 4, 256, "any x86-64 of the last fifteen years; SSE, slow"),  # Nehalem
        _x86("x86-64-v3", _V3, 8, 256, "AVX2: Haswell and Zen onwards"),  # Haswell; Zen has 512
        _x86("x86-64-v4", _V4, 16, 1024, "AVX-512: Skylake servers and Zen 4 onwards"),
        _x86("haswell", _V3, 8, 256, "Intel 2013"),
        _x86("skylake-avx512", _V4, 16, 1024, "Intel 2017"),
        _x86("cascadelake", _VNNI, 16, 1024, "Intel 2019: newer ones of m5 and c5"),
        _x86("icelake-server", _ICE, 16, 1280, "Intel 2021"),
        _x86("sapphirerapids", _SPR, 16, 2048, "Intel 2023"),
        _x86("znver3", _V3, 8, 512, "AMD 2020"),
        _x86("znver4", (*_ICE, "avx512_bf16"), 16, 1024, "AMD 2022"),
        _x86("znver5", (*_ICE, "avx512_bf16", "avx_vnni"), 16, 1024, "AMD 2024"),
        _arm("neoverse-n1", _ARM82, 1024, "AWS Graviton 2"),
        _arm("neoverse-v1", _ARM84, 1024, "AWS Graviton 3", _NO_SVE),
        _arm("neoverse-v2", _ARM90, 2048, "AWS Graviton 4", _NO_SVE),
        _arm("cortex-a72", ("asimd",), 256, "Raspberry Pi 4"),  # 1 MiB that four cores share
        _arm("cortex-a76", _ARM82, 512, "Raspberry Pi 5"),
        _cuda(75, "NVIDIA Turing: T4"),
        _cuda(80, "NVIDIA Ampere: A100"),
        _cuda(86, "NVIDIA Ampere: A10G"),
        _cuda(89, "NVIDIA Ada: L4, L40S"),
        _cuda(90, "NVIDIA Hopper: H100, H200"),
    )
}


def resolve_target(name: str, host: HostFacts) -> CompileTarget:
    """Give the target of that name, or of that instance type; `host` is the processor of this machine.

    Raises:
        ConfigError: no such target; the message names the nearest.
    """
    if name == "host":
        return host_target(host)
    preset = name if name in TARGETS else preset_of(name)
    if preset is None:
        known = ["host", *TARGETS, *known_names()]
        raise ConfigError(
            unknown_name("target", name, known, hint="`dyno targets` lists them"), field="target"
        )
    return TARGETS[preset]


def target_names(begun: str) -> list[str]:
    """Give the targets whose names begin so, other names of them included."""
    return [name for name in ("host", *TARGETS, *known_names()) if name.startswith(begun)]


def host_target(host: HostFacts) -> CompileTarget:
    """Build the target for this machine: LLVM's name for its processor, and the widest vectors it has."""
    features = set(host.cpu_features)
    if host.architecture in ("aarch64", "arm64"):
        base = "neoverse-n1" if "asimddp" in features else "cortex-a72"
    else:
        levels = [("x86-64-v4", _V4), ("x86-64-v3", _V3), ("x86-64-v2", _V2)]
        base = next((name for name, needed in levels if features.issuperset(needed)), "x86-64-v2")
    target = TARGETS[base]
    target = _llvm_host_target(host, target)
    return replace(target, name=f"host ({target.cpu})", note="this machine")


def _llvm_host_target(host: HostFacts, fallback: CompileTarget) -> CompileTarget:
    """Give the preset that LLVM sees here, but only when this machine has all that LLVM assumes of it.

    A virtual machine may hide features (AMX, say) of the processor that it runs on.
    """
    detected = _detect_llvm_cpu()
    preset = TARGETS.get(detected)
    if preset is not None and set(preset.features) <= set(host.cpu_features):
        return preset
    return fallback


def _detect_llvm_cpu() -> str:
    import tvm

    try:
        return str(tvm.get_global_func("target.llvm_get_system_cpu")())
    except (ValueError, AttributeError):
        return ""


def runs_here(target: CompileTarget, host: HostFacts) -> bool:
    """Whether this machine has all the features that the target's code may use."""
    same = target.kind == "llvm" and target.architecture == host.architecture.replace("arm64", "aarch64")
    return same and not missing_features(target.features, host.cpu_features)
