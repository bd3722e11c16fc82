"""`dyno inspect`: what an artifact is, without loading it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dyno.host import host_facts
from runtime.inspection import inspect_artifact
from runtime.manifest import LIBRARY_NAME, MANIFEST_NAME, WEIGHTS_NAME


def dyno(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dyno", "inspect", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_person_reads_signature_target_parity_and_the_state_of_the_files(artifact: Path) -> None:
    done = dyno(artifact)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["input"].strip() == "x: float32 [2, 8]"
    assert lines["output"].strip() == "y: float32 [2, 3]"
    assert "against onnxruntime" in lines["parity"]
    assert lines["files"].strip() == "whole: every digest is the manifest's"
    assert lines["this"].split() == ["machine", "has", "what", "the", "code", "needs"]


def test_a_machine_reads_the_manifest_with_its_sums(artifact: Path) -> None:
    facts: dict[str, Any] = json.loads(dyno(artifact, "--json").stdout)
    manifest = json.loads((artifact / MANIFEST_NAME).read_text())
    assert facts["source_digest"] == manifest["source_digest"]
    assert facts["weights_bytes"] == (artifact / WEIGHTS_NAME).stat().st_size
    assert facts["bytes"] == facts["weights_bytes"] + (artifact / LIBRARY_NAME).stat().st_size
    assert facts["gflop"] > 0
    assert (facts["damage"], facts["unfit"]) == (None, None)


@pytest.mark.parametrize("name", [LIBRARY_NAME, WEIGHTS_NAME])
def test_a_changed_file_is_named_and_exits_2_after_the_facts(
    artifact: Path, tmp_path: Path, name: str
) -> None:
    copy = shutil.copytree(artifact, tmp_path / "copy")
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    done = dyno(copy)
    assert done.returncode == 2
    assert f"{copy / name} is damaged" in done.stderr
    assert "x: float32 [2, 8]" in done.stdout


def test_a_missing_weights_file_is_damage_and_no_traceback(artifact: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact, tmp_path / "copy")
    (copy / WEIGHTS_NAME).unlink()
    done = dyno(copy, "--json")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert WEIGHTS_NAME in json.loads(done.stdout)["damage"]


def test_an_artifact_for_another_processor_can_be_looked_at(artifact: Path) -> None:
    foreign = host_facts().model_copy(update={"architecture": "riscv64"})
    found = inspect_artifact(artifact, foreign)
    assert found.damage is None
    assert "this machine is riscv64" in str(found.unfit)


def test_a_folder_that_is_no_artifact_exits_2(tmp_path: Path) -> None:
    done = dyno(tmp_path)
    assert done.returncode == 2
    assert "is no artifact" in done.stderr
