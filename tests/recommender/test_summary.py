"""The tables on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modeldyno.base.records.run import Limits, Trial
from modeldyno.recommender.show.result_tables import print_summary
from tests.recommender.measured import instance, point, recommended, trial

if TYPE_CHECKING:
    import pytest

LATE = {"invalid_reasons": ("requests were sent late",)}
VALID = trial(point(50.0), on=instance("c6i.large"))
VOID = trial(point(900.0).model_copy(update=LATE))


def _printed(capsys: pytest.CaptureFixture[str], *trials: Trial) -> list[str]:
    print_summary(recommended(trials, Limits()), Path("run"))
    return capsys.readouterr().out.splitlines()


def test_a_void_configuration_is_marked_and_its_reason_said(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _printed(capsys, VALID, VOID)
    marked = next(line for line in lines if "c5.large" in line)
    assert marked.split()[:2] == ["2", "void"]
    assert "Void, behind all valid ones: rank 2: requests were sent late" in lines
    assert not any(line.startswith("No winner") for line in lines)


def test_where_all_are_void_there_is_no_winner(capsys: pytest.CaptureFixture[str]) -> None:
    assert "No winner: no configuration was measured validly." in _printed(capsys, VOID)
