"""The tables on stdout."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.records.run import Limits, Trial
from modeldyno.recommender.show.result_tables import print_summary
from modeldyno.reports.answer import answer
from modeldyno.reports.results.run_folder import read_run
from tests.recommender.measured import instance, point, recommended, trial
from tests.reports.sample import GOLDEN
from tests.reports.side_by_side import GOLDEN_SIDE_BY_SIDE

LATE = {"invalid_reasons": ("requests were sent late",)}
VALID = trial(point(50.0), on=instance("c6i.large"))
VOID = trial(point(900.0).model_copy(update=LATE))


def _printed(capsys: pytest.CaptureFixture[str], *trials: Trial) -> list[str]:
    print_summary(recommended(trials, Limits()), Path("run"))
    return capsys.readouterr().out.splitlines()


def test_a_void_configuration_is_marked_not_ranked_and_its_reason_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = _printed(capsys, VALID, VOID)
    marked = next(line for line in lines if line.split()[1:2] == ["c5.large"])
    assert marked.split()[0] == "void"
    assert "0.36 " in marked  # the price
    assert "\u2013" in marked.split()  # no cost is made of a void test
    assert any(
        line.startswith("  void: c5.large compiled: not ranked") and "requests were sent late" in line
        for line in lines
    )
    assert lines[0].startswith("Run it on c6i.large with the compiled model: ")


def test_where_all_are_void_there_is_no_winner(capsys: pytest.CaptureFixture[str]) -> None:
    assert _printed(capsys, VOID)[0].startswith("No configuration was measured validly: ")


@pytest.mark.parametrize("folder", [GOLDEN, GOLDEN_SIDE_BY_SIDE])
def test_the_console_begins_with_the_sentences_of_the_page(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    run = read_run(folder)
    print_summary(run.recommendation, folder)
    lines = capsys.readouterr().out.splitlines()
    told = answer(run).lines
    assert tuple(lines[: len(told)]) == told
    assert lines[len(told)] == ""
    assert lines[len(told) + 1].split()[:2] == ["rank", "instance"]


def test_at_most_three_warnings_the_most_important_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(read_run(GOLDEN_SIDE_BY_SIDE).recommendation, GOLDEN_SIDE_BY_SIDE)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("warnings:")
    assert [line.split(":")[0].strip() for line in lines[at + 1 : at + 4]] == ["void", "less sure", "note"]
    assert "\u2192 run it again with --retry-failed" in lines[at + 1]
    assert lines[at + 4] == "  and 1 more, in the report"


def test_another_name_of_a_machine_has_no_ratio_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(read_run(GOLDEN_SIDE_BY_SIDE).recommendation, GOLDEN_SIDE_BY_SIDE)
    lines = capsys.readouterr().out.splitlines()
    ranked = [line for line in lines if line.strip()[:1] in set("12345") and ".large" in line]
    told = ["same machine" in line for line in ranked]
    assert told == [False, True, False, True]  # the first and the baseline, each under two names
    assert "0.87 (0.81\u20130.94)" in ranked[0]
