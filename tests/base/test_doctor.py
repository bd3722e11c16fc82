"""What `dyno doctor` says, check by check with readings worked by hand, then on this very machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from modeldyno.base.doctor import cpu_checks, machine_checks, software_checks
from modeldyno.base.doctor.doctor import doctor_command, examine
from modeldyno.base.doctor.findings import Finding
from modeldyno.base.host.facts import host_facts

# Ticks: user nice system idle iowait irq softirq steal guest guest_nice
STAT_BEFORE = """\
cpu  100 0 50 800 50 0 0 0 0 0
cpu0 50 0 25 400 25 0 0 0 0 0
cpu1 50 0 25 400 25 0 0 0 0 0
intr 12345
"""
# cpu0: 100 ticks, of which 30 user, 60 idle, 10 iowait. cpu1: 100 ticks, of which 75 user, 20 idle, 5 stolen.
STAT_AFTER = """\
cpu  205 0 50 880 60 0 0 5 0 0
cpu0 80 0 25 460 35 0 0 0 0 0
cpu1 125 0 25 420 25 0 0 5 0 0
intr 12399
"""


def test_free_cores_are_the_idle_shares_of_the_usable_ones() -> None:
    before, after = cpu_checks.cpu_times(STAT_BEFORE), cpu_checks.cpu_times(STAT_AFTER)
    both = cpu_checks.free_cores(before, after, (0, 1))
    assert both.text == "0.9 of 2 usable cores are idle now"  # (60 + 10) / 100 + 20 / 100
    assert (both.status, bool(both.advice)) == ("note", True)
    first = cpu_checks.free_cores(before, after, (0,))
    assert first.text == "0.7 of 1 usable cores are idle now"
    assert cpu_checks.free_cores({}, {}, (0,)).status == "note"


def test_an_idle_machine_has_its_cores_free() -> None:
    before = {"cpu0": (0,) * 8}
    after = {"cpu0": (5, 0, 5, 90, 0, 0, 0, 0)}
    assert cpu_checks.free_cores(before, after, (0,)).status == "ok"


def test_steal_is_the_share_of_all_time() -> None:
    before, after = cpu_checks.cpu_times(STAT_BEFORE), cpu_checks.cpu_times(STAT_AFTER)
    assert cpu_checks.steal_share(before, after) == pytest.approx(5 / 200)
    assert cpu_checks.steal_share({}, after) == pytest.approx(5 / 1200)
    assert cpu_checks.steal_share({}, {}) == 0.0


@pytest.mark.parametrize(
    ("features", "architecture", "text", "status"),
    [
        (("avx2", "fma", "avx512f"), "x86_64", "AVX-512: 16 float32 per instruction", "ok"),
        (("avx", "avx2", "fma"), "x86_64", "AVX2 with FMA: 8 float32 per instruction", "ok"),
        (("asimd",), "aarch64", "NEON: 4 float32 per instruction", "ok"),
        (("asimd", "sve"), "aarch64", "SVE: 4 or more float32 per instruction", "ok"),
        (("sse4_2", "avx"), "x86_64", "no AVX2 with FMA", "note"),
        ((), "riscv64", "not told", "note"),
    ],
)
def test_vector_units_are_worded_as_floats_per_instruction(
    features: tuple[str, ...], architecture: str, text: str, status: str
) -> None:
    found = cpu_checks.vector_units(features, architecture)
    assert text in found.text
    assert (found.status, bool(found.advice)) == (status, status != "ok")


def test_low_precision_units_are_named() -> None:
    found = cpu_checks.vector_units(("avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"), "x86_64")
    assert found.text.endswith("; also int8 dot products, bfloat16, matrix instructions")
    assert "also" not in cpu_checks.vector_units(("avx512f",), "x86_64").text


def test_two_threads_on_a_core_are_a_note() -> None:
    facts = host_facts().model_copy(update={"threads_per_core": 2, "usable_cores": 3, "logical_cores": 8})
    found = cpu_checks.processor(facts)
    assert found.status == "note"
    assert "3 of 8 cores usable, 2 hardware threads share a physical core" in found.text
    assert cpu_checks.processor(facts.model_copy(update={"threads_per_core": 1})).status == "ok"


def test_a_governor_that_is_not_performance_is_a_note_and_an_invisible_one_is_not() -> None:
    found = [cpu_checks.governor(name).status for name in ("performance", "powersave", "")]
    assert found == ["ok", "note", "ok"]


def test_a_cpu_quota_below_the_usable_cores_is_a_note() -> None:
    assert [cpu_checks.cpu_quota(quota, 2).status for quota in (None, 2.0, 0.5)] == ["ok", "ok", "note"]
    assert "0.5 cores on 2" in cpu_checks.cpu_quota(0.5, 2).text


def test_memory_is_in_gib_and_a_limit_of_the_group_is_named() -> None:
    # 16,777,216 kB = 16 GiB; 12,582,912 kB = 12 GiB.
    meminfo = {"MemTotal": "16777216 kB", "MemAvailable": "12582912 kB", "SwapTotal": "0 kB"}
    free = machine_checks.memory(meminfo, None)
    assert (free.text, free.status) == ("16.0 GiB, 12.0 GiB available, swap 0.0 GiB", "ok")
    limited = machine_checks.memory(meminfo, 4 * 2**30)
    assert limited.text.endswith("limited to 4.0 GiB")
    assert limited.status == "note"


def test_where_memory_cannot_be_capped_the_reason_is_said() -> None:
    found = machine_checks.memory_cap("no group can be made in /x: Permission denied")
    assert found.status == "note"
    assert found.text.startswith("memory caps are not enforced: trials say so")
    assert "Permission denied" in found.text
    assert machine_checks.memory_cap(None).status == "ok"


def test_a_slow_clock_is_a_note() -> None:
    assert [machine_checks.clock(name).status for name in ("tsc", "hpet", "")] == ["ok", "note", "note"]


def test_stolen_time_is_a_note_from_one_percent_on() -> None:
    found = [machine_checks.virtual_machine(True, steal).status for steal in (0.0, 0.009, 0.0123)]
    assert found == ["ok", "ok", "note"]
    assert "1.2% of its CPU time" in machine_checks.virtual_machine(True, 0.0123).text
    assert "no neighbours" in machine_checks.virtual_machine(False, 0.0).text


def test_the_open_file_limit_is_worded_in_users() -> None:
    few = machine_checks.open_files(1024)
    assert (few.status, few.text) == ("note", "1024 open files per process: enough for about 824 users")
    assert machine_checks.open_files(20000).status == "ok"
    assert machine_checks.open_files(None).status == "ok"


def test_no_loopback_is_missing() -> None:
    assert machine_checks.loopback("Network is unreachable").status == "missing"


def test_little_disk_space_or_a_read_only_folder_is_a_note(tmp_path: Path) -> None:
    cases = ((50.0, True), (0.4, True), (50.0, False))
    assert [machine_checks.disk(gib, ok, tmp_path).status for gib, ok in cases] == ["ok", "note", "note"]


def test_a_c_compiler_is_named_and_none_is_needed(tmp_path: Path) -> None:
    tool = tmp_path / "gcc"
    tool.write_text("#!/bin/sh\necho 'gcc 1.0'\necho 'second line'\n")
    tool.chmod(0o755)
    found = software_checks.c_compiler(str(tool))
    assert (found.status, found.text.startswith(f"{tool}: gcc 1.0 ")) == ("ok", True)
    assert software_checks.c_compiler(None).status == "ok"


def test_the_linker_is_a_required_package() -> None:
    assert software_checks.package("ziglang", None).status == "missing"


def test_a_required_package_is_missing_and_an_optional_one_is_a_note() -> None:
    assert software_checks.package("onnxruntime", None).status == "missing"
    torch = software_checks.package("torch", None)
    assert (torch.status, torch.advice) == ("note", "pip install 'modeldyno[torch]'")
    assert software_checks.package("onnx", "1.20.0").text == "onnx 1.20.0"


def test_no_gpu_and_no_cuda_are_notes_not_missing() -> None:
    assert software_checks.gpu(()).status == "note"
    assert software_checks.cuda_compiler(None).status == "note"


def test_nvrtc_takes_all_of_its_packages() -> None:
    versions: dict[str, str | None] = dict.fromkeys(software_checks.NVRTC_PACKAGES, "13.0.88")
    assert software_checks.nvrtc(versions).text == "NVRTC 13.0.88"
    lacking = software_checks.nvrtc(versions | {"nvidia-cuda-crt": None})
    assert (lacking.status, lacking.text) == ("note", "no NVRTC: nvidia-cuda-crt not installed")
    assert "pip install 'modeldyno[cuda]'" in lacking.advice
    assert software_checks.gpu(("NVIDIA L4", "NVIDIA L4")).text == "NVIDIA L4, NVIDIA L4"


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return examine(Path.cwd())


def test_this_machine_is_examined_in_groups_each_question_once(findings: list[Finding]) -> None:
    names = [found.name for found in findings]
    assert len(names) == len(set(names))
    groups = list(dict.fromkeys(found.group for found in findings))
    expected = ["CPU", "Memory", "Control groups", "Timing", "Limits", "Compilers", "Python", "GPU"]
    assert groups == expected
    assert [found.group for found in findings] == sorted(
        (found.group for found in findings), key=expected.index
    )


def test_this_machine_can_run_the_tests_so_loopback_and_packages_are_there(findings: list[Finding]) -> None:
    status = {found.name: found.status for found in findings}
    assert {
        status[name] for name in ("loopback", "apache-tvm", "onnx", "onnxruntime", "locust", "numpy")
    } == {"ok"}


def test_what_is_not_ok_says_what_to_do_about_it(findings: list[Finding]) -> None:
    silent = [found.name for found in findings if found.status == "missing" and not found.advice]
    assert silent == []


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("note", 0), ("missing", 1)])
def test_the_exit_code_is_1_only_when_something_is_missing(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = Finding.model_validate(
        {"group": "CPU", "name": "planted", "status": status, "text": "the text", "advice": "the advice"}
    )
    monkeypatch.setattr("modeldyno.base.doctor.doctor.examine", lambda _: [planted])
    plain = CliRunner().invoke(doctor_command, [])
    assert plain.exit_code == code
    assert plain.stdout.splitlines()[:3] == ["CPU", f"  {status:<8} the text", "           -> the advice"]
    assert plain.stdout.splitlines()[-1] == f"Missing: {'planted' if code else 'nothing'}."
    as_json = CliRunner().invoke(doctor_command, ["--json"])
    assert as_json.exit_code == code
    assert json.loads(as_json.stdout) == {
        "missing": ["planted"] if code else [],
        "findings": [planted.model_dump()],
    }


def test_the_command_needs_nothing_on_the_path_and_imports_no_heavy_package(tmp_path: Path) -> None:
    code = (
        "import sys; from modeldyno.base.doctor.doctor import doctor_command\n"
        "try: doctor_command(['--json'])\n"
        "finally: print({'tvm', 'torch', 'onnxruntime', 'locust'} & set(sys.modules), file=sys.stderr)"
    )
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "set()\n")
    assert json.loads(done.stdout)["missing"] == []
