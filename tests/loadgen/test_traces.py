"""Files of recorded arrival times, as other programs write them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.loadgen.spec.traces import read_trace


def test_a_trace_file_is_sorted_counted_from_its_first_time_and_may_have_a_header(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("time_s,user\n12.5,a\n\n10,b\n11,c\n")
    assert read_trace(path) == (0.0, 1.0, 2.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 arrival times"),
        ("1\n1\n", "needs two different ones"),
        ("1\n2\nnan\n", "trace.csv:3: 'nan' is no time"),
        ("1\n2\nx,4\n", "trace.csv:3: 'x' is no time"),
    ],
)
def test_a_trace_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_trace(path)


def test_a_missing_trace_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the trace"):
        read_trace(tmp_path / "none.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_time(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("1\n2.5\n", encoding=encoding)
    assert read_trace(path) == (0.0, 1.5)


def test_times_may_be_dates_with_their_zones(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        'time;user\n"2026-01-31T12:00:00Z";a\n2026-01-31T13:00:00.5+01:00;b\n2026-01-31 12:00:02;c\n'
    )
    assert read_trace(path) == (0.0, 0.5, 2.0)


def test_times_out_of_order_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("1\n3\n2\n4\n")
    assert read_trace(path) == (0.0, 1.0, 2.0, 3.0)
    said = capsys.readouterr().err
    assert re.search(r"1 of 4 times are earlier than the one before \(first: 2.0+ after 3.0+\)", said)
    path.write_text("1\n2\n2\n4\n")
    read_trace(path)
    assert capsys.readouterr().err == ""


def test_dates_beside_seconds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("1\n2026-01-31T12:00:00Z\n")
    with pytest.raises(ConfigError, match="both dates and seconds"):
        read_trace(path)
