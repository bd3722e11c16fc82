"""`benchmarks.cuda` without a GPU: the sums, what is missing, and a rehearsal on the processor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cuda
from benchmarks.zoo.registry import onnx_file
from compiler.cuda_compilers import why_no_cuda
from compiler.models import compile_model
from compiler.options import Options
from runtime.bundle import write_bundle
from tests.compiler.models import mlp, saved


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
    compile_model(saved(tmp_path / "net.onnx", mlp()), tmp_path / "artifact", target="cuda-sm_80")
    archive = write_bundle(tmp_path / "artifact", tmp_path / "app.tar.gz").path
    row = cuda.measured(archive, tmp_path / "work", "cuda", rounds=1, repeats=1)
    assert "was compiled for NVIDIA GPUs (sm_80)" in row["failure"]["bundle"]
    assert set(row["failure"]) == set(cuda.PEERS)
    assert (row["ms"], row["ratio"], row["max_rel"]) == ({}, None, None)


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
