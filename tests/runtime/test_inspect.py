"""`dyno inspect`: all that the manifest says, and whether files and machine fit it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modeldyno.base.host.facts import host_facts
from modeldyno.runtime.records.manifest import LIBRARY_NAME, Manifest
from modeldyno.runtime.records.weights import WEIGHTS_NAME
from modeldyno.runtime.tools.inspection import inspect_artifact, lines
from tests.runtime.test_artifact import OTHER, edited


@pytest.fixture
def copy(artifact: Path, tmp_path: Path) -> Path:
    return shutil.copytree(artifact, tmp_path / "copy")


def dyno(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modeldyno", "inspect", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_whole_artifact_is_told_in_labelled_lines(artifact: Path) -> None:
    told = dict(line.split("  ", 1) for line in lines(inspect_artifact(artifact, host_facts())))
    told = {label.strip(): text.strip() for label, text in told.items()}
    assert told["model"] == "mlp.onnx (onnx, float32)"
    assert told["input"] == "x: float32, 2 x 8"
    assert told["output"] == "y: float32, 2 x 3"
    assert told["compiled"] == "100.0% of the operators, 100.0% of the FLOPs"
    assert "against onnxruntime" in told["parity"]
    assert "(allowed 1e-04 + 8 x " in told["parity"]
    assert told["samples"].startswith("checked on normal ")
    assert "apache-tvm 0.27" in told["toolchain"]
    assert "=" in told["options"]
    assert told["digests"] == "all files are whole"
    assert told["runs here"] == "yes"


def test_a_check_of_an_older_version_is_told_by_its_tolerance(artifact: Path) -> None:
    found = inspect_artifact(artifact, host_facts())
    text = found.manifest.model_dump(mode="json")
    parity = text["parity"]
    for name in ("samples", "not_run", "given", "given_tolerance", "given_unknown"):
        del parity[name]
    for row in parity["outputs"]:
        for name in ("tolerance", "delta", "decided"):
            del row[name]
    older = Manifest.model_validate_json(json.dumps({**text, "schema_version": 4}))
    (told,) = (
        line for line in lines(found.model_copy(update={"manifest": older})) if line.startswith("parity")
    )
    assert "(allowed 1e-04), cosine" in told
    assert older.parity is not None
    assert older.parity.undecided == ()


def test_json_has_the_whole_manifest(artifact: Path) -> None:
    done = dyno(artifact, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["damage"], found["unfit"]) == (None, None)
    whole = {"operators_share": 1.0, "flops_share": 1.0, "fallback": []}
    # MatMul and Add are one Gemm by now: it and the other product count 2 for each multiply-add, Tanh and
    # Softmax what they give.
    flops = 2 * 2 * 8 * 24 + 2 * 24 + 2 * 2 * 24 * 3 + 2 * 3
    assert found["manifest"]["coverage"] == {**whole, "operators": 4, "flops": flops}
    sizes = [(artifact / name).stat().st_size for name in (LIBRARY_NAME, WEIGHTS_NAME)]
    assert found["size_bytes"] == sum(sizes)


@pytest.mark.parametrize("name", [LIBRARY_NAME, WEIGHTS_NAME])
def test_a_damaged_file_is_told_after_the_rest_and_exits_2(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    done = dyno(copy)
    assert done.returncode == 2
    assert "mlp.onnx" in done.stdout
    assert done.stderr.startswith("error: ")
    assert f"{name} is damaged: its digest" in done.stderr


def test_an_artifact_of_another_machine_can_be_looked_at(copy: Path) -> None:
    edited(target__triple=f"{OTHER}-linux-gnu")(copy)
    done = dyno(copy)
    assert done.returncode == 0
    assert f"no: {copy} was compiled for {OTHER}" in done.stdout


def test_what_is_no_artifact_exits_2(tmp_path: Path) -> None:
    done = dyno(tmp_path)
    assert done.returncode == 2
    assert "is no artifact: cannot read manifest.json" in done.stderr
