"""`benchmarks.cuda` without a GPU: the sums, what is missing, and a rehearsal on the processor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cuda import __main__ as cuda
from benchmarks.zoo import registry
from benchmarks.zoo.registry import onnx_file
from modeldyno.compiler.codegen.cuda_compilers import why_no_cuda
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.tools.bundle import write_bundle
from tests.compiler.models import add_net, mlp, saved


def test_the_ratio_is_taken_round_by_round_against_the_faster_torch() -> None:
    found = cuda.summary(
        {"bundle": [2.0, 4.0, 9.0], "torch-eager": [5.0, 5.0, 5.0], "torch-compile": [4.0, 4.0, 6.0]}
    )
    assert found["fastest_torch"] == "torch-compile"
    assert found["ms"] == {"bundle": 4.0, "torch-eager": 5.0, "torch-compile": 4.0}
    assert (found["ratio"], found["ratio_quartiles"]) == (1.0, [0.75, 1.25])


def test_without_torch_there_are_times_and_no_ratio() -> None:
    found = cuda.summary({"bundle": [2.0, 3.0]})
    assert (found["ms"], found["ratio"]) == ({"bundle": 2.5}, None)


@pytest.mark.skipif(bool(why_no_cuda()), reason="no CUDA compiler is installed")
def test_where_no_gpu_is_each_peer_says_so(tmp_path: Path) -> None:
    net = saved(tmp_path / "net.onnx", mlp())
    compile_model(net, tmp_path / "artifact", target="cuda-sm_80", options=Options(verify=False))
    archive = write_bundle(tmp_path / "artifact", tmp_path / "app.tar.gz").path
    row = cuda.measured(archive, tmp_path / "work", "cuda", rounds=1, repeats=1)
    assert "was compiled for NVIDIA GPUs (sm_80)" in row["failure"]["bundle"]
    assert set(row["failure"]) == set(cuda.PEERS)
    assert (row["ms"], row["ratio"], row["max_rel"]) == ({}, None, None)


def test_without_a_gpu_it_says_what_it_would_do_and_that_nothing_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cuda, "compute_capability", lambda: None)
    (tmp_path / "app.tar.gz").touch()
    with pytest.raises(SystemExit) as ended:
        cuda.main([str(tmp_path / "app.tar.gz"), "--json", str(tmp_path / "cuda.json")])
    assert ended.value.code == cuda.NO_GPU
    told = "".join(capsys.readouterr())
    assert "app.tar.gz: would run bundle, torch-eager, torch-compile, 15 rounds of 30 each" in told
    assert "no NVIDIA GPU here: nothing measured" in told
    document = json.loads((tmp_path / "cuda.json").read_text())
    assert document["models"] == []
    assert "nothing measured" in document["not_measured"]


@pytest.mark.parametrize("arguments", [[], ["app.tar.gz", "--build", "resnet18"], ["nowhere.tar.gz"]])
def test_a_wrong_command_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cuda.main(arguments)
    assert ended.value.code == 2


@pytest.mark.skipif(bool(why_no_cuda()), reason="no CUDA compiler is installed")
def test_bundles_are_built_where_no_gpu_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "onnx_file", lambda *_: saved(tmp_path / "net.onnx", add_net()))
    cuda.main(["--build", "resnet18", "--target", "cuda-sm_75", "--folder", str(tmp_path / "made")])
    assert (tmp_path / "made" / "resnet18.cuda-sm_75.tar.gz").is_file()
    assert "(emulated: the CUDA C on this processor)" in "".join(capsys.readouterr())


@pytest.mark.slow
def test_a_rehearsal_on_the_processor_measures_and_compares(tmp_path: Path) -> None:
    net = onnx_file("mobilenet_v2", tmp_path / "zoo")
    compile_model(net, tmp_path / "artifact", options=Options(verify=False, reuse_tuning=False))
    archive = write_bundle(tmp_path / "artifact", tmp_path / "app.tar.gz").path
    file = tmp_path / "cuda.json"
    cuda.main([str(archive), "--device", "cpu", "--rounds", "2", "--repeats", "1", "--json", str(file)])
    (row,) = json.loads(file.read_text())["models"]
    assert {"bundle", "torch-eager"} <= set(row["ms"])
    assert row["max_rel"] < 1e-4
    assert row["ratio"] > 0
    assert "processor" in row["how"]["torch-eager"]
