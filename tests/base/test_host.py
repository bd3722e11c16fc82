"""Host facts are read from what the kernel says."""

from __future__ import annotations

import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from modeldyno.base.host.facts import arm_features, cpu_features, cpu_info, gpus, host_facts, usable_cores
from modeldyno.base.records.record import HostFacts

XEON = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8488C
siblings\t: 16
cpu cores\t: 8
flags\t\t: fpu sse4_2 amx_tile avx avx2 fma avx512f avx512_vnni f16c

processor\t: 1
model name\t: another
"""
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd sve i8mm bf16\nCPU part\t: 0xd40\n"


def test_cpu_info_is_that_of_the_first_processor() -> None:
    assert cpu_info(XEON)["model name"] == "Intel(R) Xeon(R) Platinum 8488C"
    assert cpu_info("") == {}


def test_features_come_in_a_fixed_order_and_only_those_that_change_speed() -> None:
    assert cpu_features(cpu_info(XEON)) == (
        *("sse4_2", "avx", "avx2", "fma", "f16c"),
        *("avx512f", "avx512_vnni", "amx_tile"),
    )
    assert cpu_features(cpu_info(GRAVITON)) == ("asimd", "sve", "bf16", "i8mm")


def test_an_arm_processors_features_are_the_bits_that_the_kernel_gives_a_process() -> None:
    # AT_HWCAP (16) with bits 1, 20 and 22, AT_HWCAP2 (26) with bits 13 and 14; then AT_NULL.
    words = [(6, 4096), (16, 1 << 1 | 1 << 20 | 1 << 22), (26, 1 << 13 | 1 << 14), (0, 0)]
    auxiliary = b"".join(struct.pack("<QQ", *pair) for pair in words)
    assert arm_features(auxiliary) == ("asimd", "asimddp", "sve", "bf16", "i8mm")
    assert arm_features(b"") == ()


def test_usable_cores_follow_the_affinity() -> None:
    last = usable_cores()[-1]
    code = (
        f"import os; os.sched_setaffinity(0, {{{last}}}); "
        "from modeldyno.base.host.facts import *; print(usable_cores(), host_facts().usable_cores)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"({last},) 1\n"


def test_the_facts_of_this_machine_agree_with_the_system() -> None:
    facts = host_facts()
    meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total_gib = int(meminfo["MemTotal"].split()[0]) / 2**20
    assert facts.memory_gib == pytest.approx(total_gib, abs=0.06)
    assert facts.logical_cores == os.cpu_count()
    assert facts.architecture == platform.machine()
    assert 1 <= facts.usable_cores <= facts.logical_cores
    assert {"numpy", "locust", "modeldyno"} <= facts.packages.keys()
    assert HostFacts.model_validate_json(facts.model_dump_json()) == facts


def _fake_nvidia_smi(folder: Path, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def test_gpus_are_named_as_nvidia_smi_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    _fake_nvidia_smi(tmp_path, 'echo "NVIDIA L4"; echo "NVIDIA L4 "')
    assert gpus() == ("NVIDIA L4", "NVIDIA L4")


def test_no_nvidia_smi_or_one_that_fails_means_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == ()
    _fake_nvidia_smi(tmp_path, "echo 'NVIDIA-SMI has failed'; exit 9")
    assert gpus() == ()
