"""Which files are written, and what is refused before a gate begins."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from modeldyno.base.command.outputs import STDOUT
from modeldyno.base.errors import ConfigError
from modeldyno.base.flags import flags_of
from modeldyno.gate.show.outputs import OutputSettings, check, write_error, write_outputs
from tests.gate.show.junit_schema import outcomes
from tests.gate.show.samples import REGRESSION, UNDECIDED

STARTS = {
    "markdown": "<!-- dyno gate -->",
    "junit": "<?xml",
    "html": "<!doctype html>",
    "openmetrics": "# TYPE dyno_p50_seconds gauge",
    "bencher": '{\n  "resnet50"',
    "bench_smaller": '[\n  {\n    "name": "resnet50: p50 latency"',
    "bench_bigger": '[\n  {\n    "name": "resnet50: throughput"',
    "sarif": "{",
}


def test_every_format_that_is_asked_for_is_written(tmp_path: Path) -> None:
    settings = OutputSettings(**{name: tmp_path / name for name in STARTS})  # type: ignore[arg-type]
    assert len(settings.paths) == len(STARTS)
    write_outputs(REGRESSION, settings)
    for name, start in STARTS.items():
        assert (tmp_path / name).read_text().lstrip().startswith(start), name


def test_nothing_is_written_that_is_not_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_outputs(REGRESSION, OutputSettings(markdown=STDOUT))
    assert capsys.readouterr().out.startswith("<!-- dyno gate -->")
    assert list(tmp_path.iterdir()) == []


def test_settings_reach_their_formats(tmp_path: Path) -> None:
    made = OutputSettings(
        junit=tmp_path / "j",
        sarif=tmp_path / "s",
        sarif_anchor="ci.yml:9",
        name="net",
        inconclusive_is="fail",
    )
    write_outputs(UNDECIDED, made)
    assert outcomes((tmp_path / "j").read_text()) == {"p50_ms": "failure"}
    assert '"startLine": 9' in (tmp_path / "s").read_text()
    assert "dyno.gate.net" in (tmp_path / "j").read_text()


def test_what_cannot_be_is_refused_before_anything_is_measured() -> None:
    check(OutputSettings(markdown=STDOUT))
    with pytest.raises(ConfigError, match="no line number"):
        check(OutputSettings(sarif_anchor="x:y"))
    with pytest.raises(click.UsageError, match="only one result"):
        check(OutputSettings(markdown=STDOUT), as_json=True)


def test_a_gate_that_could_not_run_is_told_in_junit(tmp_path: Path) -> None:
    write_error("no model", "x.onnx", "2026-08-01T12:00:00+00:00", OutputSettings(junit=tmp_path / "j"))
    assert outcomes((tmp_path / "j").read_text()) == {"gate": "error"}
    write_error("no model", "x.onnx", "2026-08-01T12:00:00+00:00", OutputSettings())


def test_each_setting_is_an_option() -> None:
    @click.command()
    @flags_of(OutputSettings, "outputs")
    def command(outputs: OutputSettings) -> None:
        click.echo(f"{outputs.junit} {outputs.inconclusive_is} {outputs.sarif_anchor}")

    done = CliRunner().invoke(command, ["--junit", "-", "--inconclusive-is", "fail"])
    assert done.output == "- fail pyproject.toml:1\n"
    assert CliRunner().invoke(command, ["--junit", "/proc/x"]).exit_code == 2
