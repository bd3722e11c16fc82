from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.compare.__main__ import SECTIONS, main
from benchmarks.compare.simulate import counted


def test_sections_run_and_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--tries", "1", "--only", "groups,power,sizes", "--json", str(tmp_path / "rows.json")])
    document = json.loads((tmp_path / "rows.json").read_text())
    assert set(document) == {"host", "tries", "groups", "power", "sizes"}
    assert {row["tries"] for row in document["groups"]} == {1}
    assert "groups of four (ABBA)" in capsys.readouterr().out


def test_an_unknown_section_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "groups,power,size"])
    assert f"unknown section 'size'; there are: {', '.join(SECTIONS)}" in capsys.readouterr().err


def test_none_of_300_says_little_more_than_one_percent() -> None:
    # Wilson's upper end for 0 of n is z^2 / (n + z^2).
    assert counted(0, 300)["high"] == pytest.approx(3.8415 / 303.8415, abs=1e-5)
    assert counted(0, 300)["low"] == 0.0
