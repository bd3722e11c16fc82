"""Targets: what `host` becomes on made-up machines, and that every preset's code can be made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from modeldyno.base.errors import CompileError, ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.record import HostFacts
from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.stages.run import run_stages
from modeldyno.compiler.targets import catalog as targets
from modeldyno.compiler.targets.catalog import TARGETS, host_target, resolve_target, runs_here
from modeldyno.compiler.targets.machine import Machine
from tests.compiler.models import conv_net, mlp, saved

V3, V4 = TARGETS["x86-64-v3"].features, TARGETS["x86-64-v4"].features
# LLVM's names where they are not the kernel's; dashes and dots become lines.
KERNEL_NAMES = {"bmi": "bmi1", "lzcnt": "abm", "avxvnni": "avx_vnni"} | {
    f"avx512{name}": f"avx512_{name}" for name in ("vnni", "bf16", "fp16", "vbmi2", "bitalg", "vpopcntdq")
}
# What a compiler puts into plain arithmetic by itself; the rest is for the system, or for keys.
USED = ("avx", "sse4.2", "ssse3", "fma", "f16c", "bmi", "lzcnt", "movbe", "popcnt", "gfni", "amx")
# LLVM's names on ARM, of all that plain code may use.
ARM_NAMES = {
    "neon": "asimd",
    "dotprod": "asimddp",
    "fullfp16": "asimdhp",
    "rdm": "asimdrdm",
    "lse": "atomics",
    "rcpc": "lrcpc",
    "fp16fml": "asimdfhm",
    "bf16": "bf16",
    "complxnum": "fcma",
    "flagm": "flagm",
    "i8mm": "i8mm",
    "rcpc-immo": "ilrcpc",
    "jsconv": "jscvt",
    "altnzcv": "flagm2",
    "fptoint": "frint",
    "sve": "sve",
    "sve2": "sve2",
}
ARM = [name for name, target in TARGETS.items() if target.architecture == "aarch64"]
HERE = host_facts()
CPUS = {name: target for name, target in TARGETS.items() if target.kind == "llvm"}
FOREIGN = [name for name, target in CPUS.items() if target.architecture != HERE.architecture]


def machine(architecture: str, *features: str) -> HostFacts:
    return HERE.model_copy(update={"architecture": architecture, "cpu_features": features})


@pytest.fixture
def llvm_says(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda cpu: monkeypatch.setattr(targets, "_detect_llvm_cpu", lambda: cpu)


def test_a_host_without_avx512_gets_8_lanes_and_16_registers(llvm_says: Any) -> None:
    llvm_says("")
    target = host_target(machine("x86_64", *V3))
    assert (target.cpu, target.features) == ("x86-64-v3", V3)
    assert (target.machine.lanes, target.machine.registers) == (8, 16)


def test_a_host_of_the_first_level_gets_what_it_has(llvm_says: Any) -> None:
    llvm_says("")
    assert host_target(machine("x86_64", "sse4_2", "ssse3", "popcnt", "avx")).cpu == "x86-64-v2"


@pytest.mark.parametrize("architecture", ["aarch64", "arm64"])
def test_an_arm_host_gets_4_lanes_and_32_registers(llvm_says: Any, architecture: str) -> None:
    llvm_says("neoverse-v1")
    host = machine(architecture, *TARGETS["neoverse-n1"].features)
    target = host_target(host)
    assert (target.triple, target.cpu, target.machine) == ("aarch64-linux-gnu", "neoverse-n1", Machine(4, 32))
    assert runs_here(target, host)


def test_a_processor_that_shows_all_its_features_is_called_by_its_name(llvm_says: Any) -> None:
    llvm_says("sapphirerapids")
    host = machine("x86_64", *TARGETS["sapphirerapids"].features)
    assert host_target(host).name == "host (sapphirerapids)"


def test_a_virtual_machine_that_hides_amx_gets_the_level_it_shows(llvm_says: Any) -> None:
    llvm_says("sapphirerapids")
    host = machine("x86_64", *V4, "avx512_vnni")
    target = host_target(host)
    assert (target.cpu, target.machine) == ("x86-64-v4", Machine(16, 32))
    assert runs_here(target, host)


def test_what_host_becomes_runs_on_this_very_machine() -> None:
    assert runs_here(resolve_target("host", HERE), HERE)


def test_code_for_a_newer_processor_does_not_run_here() -> None:
    assert not runs_here(TARGETS["x86-64-v4"], machine("x86_64", *V3))
    assert not runs_here(TARGETS["x86-64-v3"], machine("aarch64", "asimd"))


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown target 'znver6'; nearest: .*znver5"):
        resolve_target("znver6", HERE)


@pytest.mark.parametrize("name", [name for name in CPUS if name not in FOREIGN])
def test_every_target_of_this_architecture_compiles(name: str, tmp_path: Path) -> None:
    manifest = compile_model(saved(tmp_path / "net.onnx", conv_net()), tmp_path / "artifact", target=name)
    assert (manifest.target.name, manifest.target.features) == (name, TARGETS[name].features)
    assert (manifest.parity is not None) == runs_here(TARGETS[name], HERE)


@pytest.mark.parametrize("name", FOREIGN)
def test_every_foreign_target_is_compiled_and_linked(name: str, tmp_path: Path) -> None:
    manifest = compile_model(saved(tmp_path / "net.onnx", conv_net()), tmp_path / "artifact", target=name)
    header = (tmp_path / "artifact" / "model.so").read_bytes()[:20]
    # ELF, 64 bit; e_machine at byte 18: 183 is AArch64, 62 x86-64.
    machines = {"aarch64": 183, "x86_64": 62}
    assert header[:5] == b"\x7fELF\x02"
    assert int.from_bytes(header[18:20], "little") == machines[TARGETS[name].architecture]
    assert manifest.parity is None
    assert manifest.parity_skipped.startswith(TARGETS[name].architecture)


def test_no_compiler_is_needed_to_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    manifest = compile_model(saved(tmp_path / "net.onnx", conv_net()), tmp_path / "artifact")
    assert manifest.parity is not None


def test_a_linker_that_fails_is_a_compile_error_of_the_link_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "modeldyno.compiler.codegen.link._EMULATIONS", {"x86_64": "no_such", "aarch64": "no_such"}
    )
    with pytest.raises(CompileError, match="linking failed") as caught:
        compile_model(saved(tmp_path / "net.onnx", conv_net()), tmp_path / "artifact")
    assert caught.value.stage == "link"
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize("name", [name for name, target in CPUS.items() if target.architecture == "x86_64"])
def test_a_preset_names_all_that_llvm_may_use_for_its_processor(name: str) -> None:
    from tvm.target import codegen

    enabled = {str(each) for each in codegen.llvm_get_cpu_features(TARGETS[name].tvm_target())}
    arithmetic = {each for each in enabled if each.startswith(USED)} - {"avx512vp2intersect"}
    needed = {KERNEL_NAMES.get(each, each.replace("-", "_").replace(".", "_")) for each in arithmetic}
    assert needed <= set(TARGETS[name].features)


@pytest.mark.parametrize("name", ARM)
def test_an_arm_preset_names_what_llvm_may_use_and_no_sve(name: str) -> None:
    from tvm.target import codegen

    target = TARGETS[name]
    enabled = {str(each) for each in codegen.llvm_get_cpu_features(target.tvm_target())}
    enabled -= {each for each in enabled if f"-{each[:3]}" in target.attributes}  # sve, and sve2 with it
    assert "neon" in enabled
    assert {ARM_NAMES[each] for each in enabled & ARM_NAMES.keys()} == set(target.features)


def test_every_preset_has_the_second_level_cache_of_its_processor() -> None:
    kib = {name: target.machine.l2_bytes >> 10 for name, target in TARGETS.items()}
    assert (kib["haswell"], kib["znver3"], kib["skylake-avx512"], kib["sapphirerapids"]) == (
        *(256, 512, 1024, 2048),
    )
    # A level's code runs on the smallest of its processors.
    assert kib["x86-64-v3"] == min(kib["haswell"], kib["znver3"])
    assert kib["x86-64-v4"] == min(kib["skylake-avx512"], kib["icelake-server"], kib["znver4"])


@pytest.mark.parametrize("name", ["neoverse-v1", "neoverse-v2"])
def test_code_for_processors_with_sve_is_neon(name: str, tmp_path: Path) -> None:
    source = read_model(saved(tmp_path / "net.onnx", mlp()), {})
    text = run_stages(source, TARGETS[name]).executable.mod.imports[0].inspect_source("asm")
    assert re.search(r"\bfmla\tv\d+\.4s", text)
    assert not re.search(r"\bz\d+\.[bhsd]\b|\bptrue\b|\bwhilelo\b", text)
