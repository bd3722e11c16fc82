"""`dyno compile` and `dyno targets` as a user meets them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modeldyno.base.command.cli import run
from modeldyno.compiler.targets.catalog import TARGETS
from modeldyno.runtime.records.manifest_file import read_manifest
from tests.compiler.models import conv_net, det_net, mlp, saved
from tests.compiler.test_build import wrong_stage


def dyno(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modeldyno", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_model_becomes_an_artifact_and_its_parity_is_told(tmp_path: Path) -> None:
    done = dyno("compile", saved(tmp_path / "net.onnx", conv_net()), "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("target: host (")
    assert done.stdout.startswith("compiled net.onnx for host (")
    assert "parity of logits with onnxruntime" in done.stdout
    assert read_manifest(tmp_path / "out").model == "net.onnx"


def test_the_manifest_as_json_is_all_of_stdout(tmp_path: Path) -> None:
    path = saved(tmp_path / "mlp.onnx", mlp("rows"))
    done = dyno("compile", path, "--output", tmp_path / "out", "--shape", "x=4,8", "--json", "--no-verify")
    manifest = json.loads(done.stdout)
    assert manifest["inputs"][0]["shape"] == [4, 8]
    assert manifest["parity"] is None


def refused(tmp_path: Path, message: str, *args: str | Path) -> None:
    before = sorted(path for path in tmp_path.rglob("*"))
    done = dyno("compile", *args)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.lower().count("error: ") == 1
    assert done.stdout == ""
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_bad_files_exit_2_with_one_message_and_leave_nothing(tmp_path: Path) -> None:
    whole = saved(tmp_path / "net.onnx", conv_net())
    (tmp_path / "cut.onnx").write_bytes(whole.read_bytes()[:-40])
    (tmp_path / "empty.onnx").touch()
    out = ("-o", tmp_path / "out")
    refused(tmp_path, "model not found", tmp_path / "missing.onnx", *out)
    refused(tmp_path, "is empty", tmp_path / "empty.onnx", *out)
    refused(tmp_path, "truncated", tmp_path / "cut.onnx", *out)


def test_bad_arguments_exit_2_with_one_message_and_leave_nothing(tmp_path: Path) -> None:
    net, open_shape = saved(tmp_path / "net.onnx", conv_net()), saved(tmp_path / "open.onnx", mlp("rows"))
    out = ("-o", tmp_path / "out")
    refused(tmp_path, "nearest: znver", net, "--target", "znver9", *out)
    refused(tmp_path, "--shape 'x=1,8'", open_shape, *out)
    refused(tmp_path, "expected NAME=SIZE,SIZE", open_shape, "--shape", "x=a,8", *out)
    refused(tmp_path, "is a file; the output of a compile is a folder", net, "-o", net)


def test_outputs_that_differ_exit_2_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong_stage(monkeypatch)
    net = saved(tmp_path / "net.onnx", conv_net())
    monkeypatch.setattr(
        sys,
        "argv",
        ["dyno", "compile", str(net), "-o", str(tmp_path / "out"), "--here", str(tmp_path / "at")],
    )
    assert run() == 2
    said = capsys.readouterr().err
    assert "the artifact is not kept" in said
    assert "Traceback" not in said
    assert names(tmp_path) == ["net.onnx"]


@pytest.mark.parametrize(
    ("number", "code", "last"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_an_interrupt_while_it_compiles_leaves_nothing(
    tmp_path: Path, number: int, code: int, last: str
) -> None:
    net = saved(tmp_path / "net.onnx", conv_net())
    command = [sys.executable, "-m", "modeldyno", "compile", str(net), "-o", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith("  legalize"):  # some way into the stages
                break
        process.send_signal(number)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == code, rest
    assert rest.rstrip().endswith(last)
    assert "Traceback" not in rest
    assert names(tmp_path) == ["net.onnx"]


def test_targets_as_json_lists_every_preset_with_its_facts() -> None:
    rows = json.loads(dyno("targets", "--json").stdout)
    assert [row["target"] for row in rows] == list(TARGETS)
    by_name = {row["target"]: row for row in rows}
    assert by_name["x86-64-v4"]["vector_bits"] == 512
    assert by_name["neoverse-n1"]["architecture"] == "aarch64"
    assert (by_name["znver3"]["l2_kib"], by_name["znver3"]["vector_registers"]) == (512, 16)
    assert all(row["builds_here"] for row in rows if not row["target"].startswith("cuda"))
    assert all(row["builds_here"] is not bool(row["builds_here_reason"]) for row in rows)
    assert {row["runs_here"] for row in rows} <= {"yes", "emulated", "no"}
    assert all(bool(row["runs_here_reason"]) == (row["runs_here"] != "yes") for row in rows)


def test_targets_can_be_narrowed_and_an_empty_choice_says_what_there_is() -> None:
    table = dyno("targets", "znver*").stdout
    assert "znver4" in table
    assert "haswell" not in table
    none = dyno("targets", "sparc*")
    assert none.returncode == 1
    assert "no target matches 'sparc*'" in none.stderr
    as_json = dyno("targets", "sparc*", "--json")
    assert (json.loads(as_json.stdout), as_json.returncode) == ([], 1)
    assert "znver4" in none.stderr


def test_what_runs_in_onnx_runtime_is_told_and_the_gate_exits_1(tmp_path: Path) -> None:
    path = saved(tmp_path / "det.onnx", det_net())
    fallback = ("--fallback", "onnxruntime")
    done = dyno("compile", path, "-o", tmp_path / "out", *fallback)
    assert done.returncode == 0, done.stderr
    assert (
        "compiled: 85.7% of the operators, 99.9% of the FLOPs, in 3 segments; not compiled: Det"
        in done.stdout
    )
    assert "in ONNX Runtime: Det (node 'area', domain ai.onnx, opset 17)" in done.stdout
    gated = dyno("compile", path, "-o", tmp_path / "gated", *fallback, "--min-compiled", "0.99999")
    assert gated.returncode == 1
    assert gated.stderr.count("error: ") == 1
    assert "--min-compiled asks for 99.999 %" in gated.stderr
    assert not (tmp_path / "gated").exists()
