"""What this machine can make of a target: build it, run it or emulate it, and why not."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from modeldyno.base.records.record import HostFacts
from modeldyno.compiler.check.emulation.root import PREPARE, cpu_model, find_emulator
from modeldyno.compiler.codegen.cuda_compilers import why_no_cuda
from modeldyno.compiler.targets.catalog import CompileTarget, runs_here
from modeldyno.runtime.artifact import missing_features


@dataclass(frozen=True)
class Running:
    """Whether code for a target runs here: yes, emulated or no; `reason` is empty only for yes."""

    runs: str
    reason: str


def runs_where(target: CompileTarget, host: HostFacts) -> Running:
    """Say whether this machine runs a target's code itself, emulates it, or neither."""
    if target.kind == "cuda":
        return _gpu_running(target, host)
    if runs_here(target, host):
        return Running("yes", "")
    here = host.architecture.replace("arm64", "aarch64")
    if target.architecture == here:
        missing = missing_features(target.features, host.cpu_features)
        return Running("no", f"this processor lacks {', '.join(missing)}")
    cpu = cpu_model(target)
    if cpu is None or here != "x86_64":
        return Running("no", f"{target.architecture} code; this machine is {here}")
    emulator = find_emulator()
    if emulator is None:
        return Running("no", f"{target.architecture} code; `{PREPARE}` sets up an emulator that checks it")
    return Running("emulated", f"{emulator.name}, as {cpu.partition(',')[0]}: right or wrong, not how fast")


def _gpu_running(target: CompileTarget, host: HostFacts) -> Running:
    found = f"the GPU here is {host.gpus[0]}" if host.gpus else "there is no NVIDIA GPU here"
    benchmark = "`python -m benchmarks.cuda` runs GPU artifacts on a machine that has one"
    here = host.architecture == target.architecture
    if not here or missing_features(target.features, host.cpu_features):
        return Running("no", f"{found}; {benchmark}")
    return Running("emulated", f"{found}, and its kernels are checked on the processor; {benchmark}")


def why_not_built(target: CompileTarget) -> str:
    """Say what is missing to build for a target here; empty where nothing is."""
    missing = [name for name in ("tvm", "ziglang") if importlib.util.find_spec(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return why_no_cuda() if target.kind == "cuda" else ""
