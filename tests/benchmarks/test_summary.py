"""The maths between measured turns and the report."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compile.side_by_side import Measured
from benchmarks.compile.summary import agreement, difference, geometric_means, peak_share, timing

NAN = float("nan")


def test_the_ratio_is_taken_round_by_round_against_the_fastest_peer() -> None:
    measured = Measured(
        ms={"dyno": [2.0, 40.0, 6.0], "onnxruntime": [4.0, 20.0, 4.0], "openvino": [9.0, 9.0, 9.0]},
    )
    row = timing(measured, ["dyno", "onnxruntime", "openvino"])
    assert row["ms"] == {"dyno": 6.0, "onnxruntime": 4.0, "openvino": 9.0}
    assert row["best_peer"] == "onnxruntime"
    # Rounds 0.5, 2, 1.5; the ratio of the medians is 1.5 too, but that of the means 1.7.
    assert row["ratio_to_best_peer"] == 1.5
    assert row["ratio_quartiles"] == [1.0, 1.75]
    assert row["quartiles_ms"]["dyno"] == [4.0, 23.0]


def test_a_slow_peer_that_sat_out_counts_by_the_rounds_it_took_part_in() -> None:
    measured = Measured(ms={"dyno": [1.0, 1.0, 8.0], "tvm-default": [4.0, 2.0, NAN]})
    row = timing(measured, ["dyno", "tvm-default"])
    assert row["ms"]["tvm-default"] == 3.0
    assert row["ratio_to_best_peer"] == 0.375  # of 0.25 and 0.5
    assert row["quartiles_ms"]["tvm-default"] == [2.5, 3.5]


def test_a_peer_without_figures_is_null_and_leaves_the_others_their_ratio() -> None:
    measured = Measured(ms={"dyno": [2.0], "onnxruntime": [1.0]}, missing={"openvino": "not installed"})
    row = timing(measured, ["dyno", "onnxruntime", "openvino"])
    assert row["ms"] == {"dyno": 2.0, "onnxruntime": 1.0, "openvino": None}
    assert row["ratio_to_best_peer"] == 2.0


@pytest.mark.parametrize("alone", ["dyno", "onnxruntime"])
def test_without_both_sides_there_is_no_ratio(alone: str) -> None:
    row = timing(Measured(ms={alone: [2.0]}), ["dyno", "onnxruntime"])
    assert row["ratio_to_best_peer"] is None


def test_geometric_means_are_per_number_of_threads_and_skip_rows_without_a_ratio() -> None:
    ratios = [(1, 0.5), (1, 2.0), (1, None), (2, 3.0), (4, None)]
    rows = [{"threads": threads, "ratio_to_best_peer": ratio} for threads, ratio in ratios]
    assert geometric_means(rows) == {"1": 1.0, "2": 3.0}


def test_outputs_are_compared_each_with_each_and_a_large_difference_is_flagged(tmp_path: Path) -> None:
    for peer, last in (("dyno", 4.0), ("onnxruntime", 4.0), ("openvino", 4.02)):
        np.savez(tmp_path / f"{peer}.npz", np.array([1.0, 2.0]), np.array([[-1.0], [last]]))
    row = agreement(tmp_path, ["dyno", "onnxruntime", "openvino"])
    assert row["largest_difference"] == pytest.approx(0.02 / 4.02, rel=1e-2)
    assert row["differs"] is True
    assert "openvino" in row["furthest_apart"]
    assert agreement(tmp_path, ["dyno", "onnxruntime"])["differs"] is False


def test_outputs_of_another_shape_or_not_finite_differ_without_a_number(tmp_path: Path) -> None:
    assert math.isinf(difference([np.zeros((1, 2))], [np.zeros((2, 1))]))
    assert math.isinf(difference([np.zeros(2)], [np.array([0.0, NAN])]))
    np.savez(tmp_path / "dyno.npz", np.zeros(2))
    np.savez(tmp_path / "onnxruntime.npz", np.zeros(3))
    row = agreement(tmp_path, ["dyno", "onnxruntime"])
    assert row["largest_difference"] is None
    assert row["differs"] is True


def test_the_peak_share_is_the_rate_over_the_peak_of_all_threads() -> None:
    # 8 GFLOP in 40 ms are 200 GFLOP/s; two cores of 160 have 320.
    assert peak_share(8_000_000_000, 40.0, 2, 160.0) == 0.625
    assert peak_share(None, 40.0, 2, 160.0) is None
