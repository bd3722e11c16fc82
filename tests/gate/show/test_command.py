"""`dyno gate` writes and prints what is asked for; what measures is a stub."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateRecord
from modeldyno.gate import run
from modeldyno.gate.cli import gate_command
from modeldyno.gate.options import GateOptions
from modeldyno.gate.show.console import lines
from modeldyno.gate.show.markdown import markdown
from modeldyno.gate.show.outputs import Asked
from tests.gate.show.junit_schema import outcomes
from tests.gate.show.samples import REGRESSION

SIDES = ["--baseline", "main", "--candidate", "b/new.onnx"]
ASKED: Asked = GateOptions(baseline="main", candidate="new")  # mypy holds the two together


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> GateRecord:
    monkeypatch.setattr(run, "gate", lambda *_, **__: REGRESSION)
    return REGRESSION


def test_the_answer_is_printed_and_the_files_written(found: GateRecord, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        gate_command, [*SIDES, "--junit", str(tmp_path / "j.xml")], standalone_mode=False
    )
    assert done.return_value == 1
    assert done.output == "\n".join(lines(found)) + "\n"
    assert outcomes((tmp_path / "j.xml").read_text())["p50_ms"] == "failure"


def test_what_goes_to_standard_output_stands_there_alone(found: GateRecord) -> None:
    done = CliRunner().invoke(gate_command, [*SIDES, "--markdown", "-"], standalone_mode=False)
    assert done.output == markdown(found)
    assert CliRunner().invoke(gate_command, [*SIDES, "--markdown", "-", "--json"]).exit_code == 2


def test_a_gate_that_can_not_run_is_told_in_junit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object, **__: object) -> GateRecord:
        raise ConfigError("no such model")

    monkeypatch.setattr(run, "gate", refused)
    done = CliRunner().invoke(gate_command, [*SIDES, "--junit", str(tmp_path / "j.xml")])
    assert isinstance(done.exception, ConfigError)
    assert outcomes((tmp_path / "j.xml").read_text()) == {"gate": "error"}
