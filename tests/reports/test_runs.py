"""Several runs on one page."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from modeldyno.base.errors import ConfigError
from modeldyno.reports.cli import report_command
from modeldyno.reports.page.runs import render_runs, write_runs
from modeldyno.reports.results.run_folder import Run, read_run
from modeldyno.reports.tables.runs import DIFFERENT_MINUTES, best_of_each, conditions, why_not_ranked
from tests.reports.sample import (
    GOLDEN,
    HOSTILE,
    instance,
    point,
    recommendation,
    row,
    sample,
    trial,
    write_run,
)
from tests.reports.side_by_side import GOLDEN_SIDE_BY_SIDE


def _run(rps: float, **more: object) -> Run:
    only = trial(instance("c7a.large", 2, 0.36), "compiled", [point(1, rps, 20.0)])
    found = recommendation([row(only, 0, 1)]).model_copy(update=more)
    return Run(found, {only.candidate.key: only})


def test_answers_and_rankings_stand_beside_one_another_and_why_they_are_not_ranked_together() -> None:
    runs = [("old", read_run(GOLDEN)), ("new", read_run(GOLDEN_SIDE_BY_SIDE))]
    page = render_runs(runs)
    assert "Not ranked together: limits and way of measuring differ" in page
    assert "Not told apart: c7a.large with the compiled model" in page
    assert "Run it on 2\u00a0vCPUs with the compiled model" in page
    assert page.index("<h2>old</h2>") < page.index("<h2>new</h2>")
    assert "<script" not in page


def test_the_same_conditions_at_other_times_are_ordered_with_a_word_of_care() -> None:
    # $0.36 an hour: 50 requests a second cost $2.00 per million, 100 cost $1.00.
    runs = [("slow", _run(50.0)), ("fast", _run(100.0))]
    assert [bar.label.split()[0] for bar in best_of_each(runs)] == ["fast", "slow"]
    assert why_not_ranked(conditions(runs)) == DIFFERENT_MINUTES


def test_another_model_keeps_the_order_that_was_given() -> None:
    runs = [("slow", _run(50.0)), ("fast", _run(100.0, model_digest="other"))]
    assert [bar.label.split()[0] for bar in best_of_each(runs)] == ["slow", "fast"]
    assert why_not_ranked(conditions(runs)).startswith("Not ranked together: model differs, ")


def test_a_void_run_has_no_bar() -> None:
    void = _run(50.0)
    rows = [one.model_copy(update={"invalid_reasons": ("late",)}) for one in void.recommendation.ranking]
    runs = [("void", _run(50.0, ranking=tuple(rows))), ("fast", _run(100.0))]
    assert [bar.label.split()[0] for bar in best_of_each(runs)] == ["fast"]
    assert "No configuration was measured validly" in render_runs(runs)


def test_nothing_of_the_records_becomes_markup() -> None:
    page = render_runs([(HOSTILE, _run(50.0, model=HOSTILE)), ("b", _run(50.0))])
    assert "<script" not in page
    assert "<img" not in page


def test_the_command_asks_where_to_write_and_writes_there(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a" / "run", *sample())
    again = write_run(tmp_path / "b" / "run", *sample())
    output = tmp_path / "both.html"
    refused = CliRunner().invoke(report_command, [str(run), str(again)])
    assert isinstance(refused.exception, ConfigError)
    assert "--output" in str(refused.exception)
    done = CliRunner().invoke(report_command, [str(run), str(again), "-o", str(output)])
    assert done.exit_code == 0
    assert done.stdout == f"{output}\n"
    assert "<h2>a/run</h2>" in output.read_text()
    assert not (run / "report.html").exists()


def test_a_folder_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        write_runs([GOLDEN, GOLDEN], tmp_path / "page.html")
    with pytest.raises(ConfigError, match="there is no folder"):
        write_runs([GOLDEN, tmp_path / "nowhere"], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
