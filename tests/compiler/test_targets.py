"""Targets: what `host` becomes on made-up machines, and that every preset's code can be made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from compiler import targets
from compiler.build import compile_model, compile_source
from compiler.frontends.onnx_file import read_onnx
from compiler.link import find_linker
from compiler.options import Options
from compiler.pipeline import run_stages
from compiler.schedules.machine import Machine
from compiler.targets import TARGETS, host_target, resolve_target, runs_here
from dyno.errors import CompileError, ConfigError
from dyno.host import host_facts
from dyno.records import HostFacts
from tests.compiler.models import conv_net, saved

V3 = ("sse4_2", "avx", "avx2", "fma", "f16c")
V4 = (*V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
HERE = host_facts()
FOREIGN = [name for name, target in TARGETS.items() if target.architecture != HERE.architecture]


def machine(architecture: str, *features: str) -> HostFacts:
    return HERE.model_copy(update={"architecture": architecture, "cpu_features": features})


@pytest.fixture
def llvm_says(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda cpu: monkeypatch.setattr(targets, "_detect_llvm_cpu", lambda: cpu)


def test_a_host_without_avx512_gets_8_lanes_and_16_registers(llvm_says: Any) -> None:
    llvm_says("")
    target = host_target(machine("x86_64", *V3))
    assert (target.cpu, target.machine, target.features) == ("x86-64-v3", Machine(8, 16), V3)


def test_a_host_of_the_first_level_gets_what_it_has(llvm_says: Any) -> None:
    llvm_says("")
    assert host_target(machine("x86_64", "sse4_2", "avx")).cpu == "x86-64-v2"


@pytest.mark.parametrize("architecture", ["aarch64", "arm64"])
def test_an_arm_host_gets_4_lanes_and_32_registers(llvm_says: Any, architecture: str) -> None:
    llvm_says("neoverse-v1")
    host = machine(architecture, "asimd", "asimddp")
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


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in FOREIGN])
def test_every_target_of_this_architecture_compiles(name: str, tmp_path: Path) -> None:
    manifest = compile_model(saved(tmp_path / "net.onnx", conv_net()), tmp_path / "artifact", target=name)
    assert (manifest.target.name, manifest.target.features) == (name, TARGETS[name].features)
    assert (manifest.parity is not None) == runs_here(TARGETS[name], HERE)


@pytest.mark.parametrize("name", FOREIGN)
def test_code_for_every_foreign_target_can_be_made(name: str, tmp_path: Path) -> None:
    built = run_stages(read_onnx(saved(tmp_path / "net.onnx", conv_net()), {}), TARGETS[name])
    assert [stage.stage for stage in built.stages][-1] == "generate"


def test_without_a_cross_linker_the_package_to_install_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    monkeypatch.setitem(sys.modules, "ziglang", None)
    source = read_onnx(saved(tmp_path / "net.onnx", conv_net()), {})
    with pytest.raises(CompileError, match="install the package ziglang") as caught:
        compile_source(source, tmp_path / "out", TARGETS[FOREIGN[0]], Options(), stages.append)
    assert (caught.value.stage, caught.value.target, stages) == ("link", FOREIGN[0], [])
    assert not (tmp_path / "out").exists()


def test_ziglang_links_for_another_architecture_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real one builds a C library first: a stand-in notes what it is asked for, and writes the file.
    package = tmp_path / "ziglang"
    package.mkdir()
    package.joinpath("__init__.py").touch()
    package.joinpath("__main__.py").write_text(
        "import sys, pathlib\n"
        "pathlib.Path(sys.argv[sys.argv.index('-o') + 1]).write_text(' '.join(sys.argv[1:]))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    source = read_onnx(saved(tmp_path / "net.onnx", conv_net()), {})
    manifest = compile_source(source, tmp_path / "out", TARGETS[FOREIGN[0]], Options())
    asked = (tmp_path / "out" / "model.so").read_text()
    assert asked.startswith(f"cc -target {TARGETS[FOREIGN[0]].triple} -shared -fPIC -o ")
    assert ".o" in asked
    assert manifest.parity is None


def test_without_any_c_compiler_the_message_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(CompileError, match="needs gcc or clang"):
        find_linker(host_target(HERE))
