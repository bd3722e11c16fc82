"""Which files are written, and what is refused before a gate begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.files import STDOUT
from modeldyno.gate.show.outputs import check, write_error, write_outputs
from tests.gate.show.junit_schema import outcomes
from tests.gate.show.samples import PASS, REGRESSION, UNDECIDED

STARTS = {
    "markdown": "<!-- dyno gate -->",
    "junit": "<?xml",
    "html": "<!doctype html>",
    "openmetrics": "# TYPE dyno_p50_seconds gauge",
    "bencher": '{\n  "resnet50"',
    "github_benchmark": '[\n  {\n    "name": "resnet50: p50 latency"',
    "sarif": "{",
}


@dataclass(frozen=True)
class Asked:
    markdown: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    github_benchmark: Path | None = None
    bencher: Path | None = None
    openmetrics: Path | None = None
    sarif: Path | None = None
    sarif_anchor: str | None = None
    inconclusive_is: Literal["fail", "pass"] | None = None


def test_every_format_that_is_asked_for_is_written(tmp_path: Path) -> None:
    write_outputs(REGRESSION, Asked(**{name: tmp_path / name for name in STARTS}))  # type: ignore[arg-type]
    for name, start in STARTS.items():
        assert (tmp_path / name).read_text().lstrip().startswith(start), name


def test_throughput_goes_to_a_file_of_its_own(tmp_path: Path) -> None:
    write_outputs(PASS, Asked(github_benchmark=tmp_path / "b.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]
    write_outputs(REGRESSION, Asked(github_benchmark=tmp_path / "b.json"))
    assert "throughput" in (tmp_path / "b.bigger.json").read_text()
    assert "throughput" not in (tmp_path / "b.json").read_text()


def test_nothing_is_written_that_is_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    write_outputs(REGRESSION, Asked(markdown=STDOUT))
    out = capsys.readouterr().out
    assert out.startswith("<!-- dyno gate -->")
    assert out.endswith("</details>\n")


def test_options_reach_their_formats(tmp_path: Path) -> None:
    made = Asked(junit=tmp_path / "j", sarif=tmp_path / "s", sarif_anchor="ci.yml:9", inconclusive_is="fail")
    write_outputs(UNDECIDED, made)
    assert outcomes((tmp_path / "j").read_text()) == {"p50_ms": "failure"}
    assert '"startLine": 9' in (tmp_path / "s").read_text()


def test_what_cannot_be_is_refused_before_anything_is_measured() -> None:
    assert check(Asked(markdown=STDOUT))
    assert not check(Asked(markdown=Path("x")), as_json=True)
    with pytest.raises(ConfigError, match="no line number"):
        check(Asked(sarif_anchor="x:y"))
    with pytest.raises(click.UsageError, match="only one result"):
        check(Asked(markdown=STDOUT), as_json=True)


def test_a_gate_that_could_not_run_is_told_in_junit(tmp_path: Path) -> None:
    write_error("no model", "x.onnx", "2026-08-01T12:00:00+00:00", Asked(junit=tmp_path / "j"))
    assert outcomes((tmp_path / "j").read_text()) == {"gate": "error"}
    write_error("no model", "x.onnx", "2026-08-01T12:00:00+00:00", Asked())
