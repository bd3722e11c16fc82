"""The benchmark itself, run whole on a model of two layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.compile.__main__ import main
from benchmarks.compile.side_by_side import Place, measure
from benchmarks.feeds import model_feeds, save_feeds
from benchmarks.peak import loop_instructions, peak_kernel
from modeldyno.compiler.targets.catalog import TARGETS


def tiny(folder: Path) -> Path:
    """A 3x3 convolution over 16 channels and a ReLU."""
    filters = np.random.default_rng(0).normal(0.0, 0.1, (16, 16, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, 32, 32))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 16, 32, 32))],
        [numpy_helper.from_array(filters, "w")],
    )
    path = folder / "tiny.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_a_run_writes_every_field_and_names_the_peer_that_it_could_not_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "rows.json"
    peers = ["--peers", "onnxruntime,torch", "--threads", "1", "--rounds", "2"]
    main(["--models", str(tiny(tmp_path)), *peers, "--json", str(output)])
    document = json.loads(output.read_text())
    assert document.keys() == {"models", "geomean_ratio_to_best_peer", "host", "target"}
    assert document["host"]["peak_gflops_per_core"] > 0
    (row,) = document["models"]
    assert (row["model"], row["threads"], row["rounds"]) == ("tiny", 1, 2)
    assert row["ms"].keys() == {"dyno", "onnxruntime", "torch"}
    assert row["ms"]["torch"] is None
    assert row["missing"] == {"torch": "LookupError: a model given as a file has no torch module"}
    assert row["best_peer"] == "onnxruntime"
    assert row["ratio_to_best_peer"] > 0
    assert document["geomean_ratio_to_best_peer"] == {"1": row["ratio_to_best_peer"]}
    assert row["gflop"] == round(2 * 16 * 32 * 32 * 16 * 9 / 1e9, 3)
    assert row["peak_share"] > 0
    assert row["compile_s"] > 0
    assert row["artifact_mb"] > 0
    assert row["differs"] is False
    assert row["largest_difference"] < 1e-5
    # The peer's process runs the artifact; a compiler in it would take 200 MiB and more.
    assert 20 < row["peak_rss_mb"]["dyno"] < 150
    printed = capsys.readouterr().out
    assert "geometric mean of the ratio to the best peer" in printed
    assert "no figure for torch on tiny: LookupError" in printed


def test_a_peer_that_fails_or_dies_is_a_reason_and_the_rest_is_measured(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    save_feeds(tmp_path / "feeds.npz", model_feeds(model))
    place = Place("", model, tmp_path / "no-artifact", tmp_path)
    found = measure(
        ["dyno", "onnxruntime", "openvino"], place, threads=1, rounds=1, missing={"openvino": "not wanted"}
    )
    assert found.ms.keys() == found.load_s.keys() == found.peak_rss_mb.keys() == {"onnxruntime"}
    assert found.missing.keys() == {"dyno", "openvino"}
    assert "no-artifact" in found.missing["dyno"]
    assert found.missing["openvino"] == "not wanted"


def test_unknown_names_are_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--models", "resnet51"])
    with pytest.raises(SystemExit):
        main(["--models", "resnet50", "--peers", "abacus"])
    said = capsys.readouterr().err
    assert "unknown model 'resnet51'" in said
    assert "unknown peer 'abacus'" in said


def test_the_list_names_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--list"])
    assert {"resnet50", "minilm_l6@8"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64-v4"])
def test_the_loop_that_measures_the_peak_touches_no_memory(target: str) -> None:
    compiled = TARGETS[target]
    kernel = peak_kernel(compiled.tvm_target(), compiled.machine.lanes)
    loop = loop_instructions(kernel.mod.inspect_source("asm"))
    assert sum("vfmadd" in line for line in loop) >= 12
    assert not any("(" in line for line in loop)  # an address is written in brackets
