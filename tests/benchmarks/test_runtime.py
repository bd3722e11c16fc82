"""`benchmarks.runtime` on a model small enough for a test: real bundles, real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.runtime.__main__ import FIGURES, main
from tests.compiler.models import mlp, saved


@pytest.mark.slow
def test_each_peer_has_every_figure_and_shared_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path / "mlp.onnx", mlp())
    few = ["--rounds", "1", "--steady", "2", "--processes", "2"]
    main(["--models", str(model), *few, "--json", str(tmp_path / "out.json")])
    (row,) = json.loads((tmp_path / "out.json").read_text())["models"]
    assert {"bundle", "dyno", "onnxruntime"} <= row["peers"].keys()
    for peer, figures in row["peers"].items():
        assert set(figures) == set(FIGURES)
        assert all(spread["p50"] > 0 for spread in figures.values())
        shared = row["shared"][peer]
        assert 0 < shared["pss_sum_mb"] < shared["rss_sum_mb"]
    assert 5 < row["runtime_mb"]["bundle"] < 12
    assert "onnxruntime" in capsys.readouterr().out


def test_numbers_below_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rounds", "0"])
    assert "are 1 or more" in capsys.readouterr().err
