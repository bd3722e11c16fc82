from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.reports.results.frame import trials_frame
from modeldyno.reports.results.run_folder import read_run
from tests.reports.sample import GOLDEN, recommendation, write_run


def test_one_row_per_load_point_in_order_of_rank() -> None:
    frame, run = trials_frame(GOLDEN), read_run(GOLDEN)
    assert len(frame) == sum(len(trial.points) for trial in run.trials.values())
    ranks = frame["rank"].dropna().tolist()
    assert ranks == sorted(ranks)
    assert frame["chosen"].sum() == len([row for row in run.rows if row.users])


def test_numbers_are_those_of_the_records() -> None:
    frame = trials_frame(GOLDEN)
    best = frame[(frame["rank"] == 1) & frame["chosen"]].iloc[0]
    row = read_run(GOLDEN).recommendation.ranking[0]
    assert (best["instance_type"], best["backend"], best["users"]) == (
        row.instance_type,
        row.backend,
        row.users,
    )
    assert (best["p99_ms"], best["p99_low_ms"]) == (row.p99_ms, row.p99_low_ms)
    # $0.10264 / (66 x 3600) x 1,000,000
    assert best["usd_per_million"] == pytest.approx(0.43199, abs=1e-5)


def test_no_trials_are_an_empty_frame_with_its_columns(tmp_path: Path) -> None:
    frame = trials_frame(write_run(tmp_path, recommendation([]), []))
    assert len(frame) == 0
    assert {"rank", "p99_ms", "usd_per_million"} <= set(frame.columns)


def test_no_run_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run folder"):
        trials_frame(tmp_path)
