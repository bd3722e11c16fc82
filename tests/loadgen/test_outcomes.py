"""How requests ended, and the table of all of them: by hand."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.stats.merge import merged
from modeldyno.loadgen.stats.outcomes import outcomes
from modeldyno.loadgen.stats.recording import FailureKind, Recorder, Recording
from modeldyno.loadgen.stats.samples_file import check_samples_file, write_samples

SPEC = LoadSpec(url="http://host:1/models/m/invocations?x=1", users=1, warmup_s=1.0, duration_s=10.0)
WINDOW = (1_000_000, 11_000_000)
MS = 1_000_000
BUSY = FailureKind(503, "status", "full")
LATE = FailureKind(None, "timeout", "no answer")


def recorded(shift_ms: int = 0) -> Recording:
    """One request in the warm-up; in the window three times 200, once 204, twice 503, one timeout."""
    recorder = Recorder(1.0, 10.0)
    for start_ms, took_ms, status in ((500, 9, 200), (2000, 10, 200), (3000, 20, 200), (4000, 30, 200)):
        recorder.succeed((start_ms + shift_ms) * MS, (start_ms + shift_ms + took_ms) * MS, status=status)
    recorder.succeed(5000 * MS, 5001 * MS, lag_ns=7000, status=204)
    for start_ms, took_ms, kind in ((2500, 1, BUSY), (3500, 3, BUSY), (6000, 30_000, LATE)):
        recorder.fail(start_ms * MS, (start_ms + took_ms) * MS, kind, lag_ns=2 * MS)
    return recorder.recording(users=1)


def test_requests_of_the_window_are_told_apart_by_status_with_their_times() -> None:
    found = outcomes(recorded(), SPEC, WINDOW)
    assert [(one.outcome, one.status, one.count) for one in found] == [
        ("200", 200, 3),
        ("503", 503, 2),
        ("204", 204, 1),
        ("timeout", None, 1),
    ]
    assert {one.endpoint for one in found} == {"/models/m/invocations"}
    by_name = {one.outcome: one.latency for one in found}
    assert (by_name["200"].p50_ms, by_name["200"].max_ms) == (20.0, 30.0)
    assert (by_name["503"].p50_ms, by_name["503"].max_ms) == (1.0, 3.0)
    assert by_name["timeout"].max_ms == 30_000.0


def test_outcomes_of_two_workers_add_up_exactly() -> None:
    parts = [recorded(), recorded(shift_ms=3)]
    whole = {one.outcome: one for one in outcomes(merged(parts), SPEC, WINDOW)}
    for name in ("200", "503", "timeout"):
        total = HdrHistogram(1, 3_600_000_000, 3)
        for part in parts:
            found = next(one for one in outcomes(part, SPEC, WINDOW) if one.outcome == name)
            total.decode_and_add(found.latency.histogram)
        assert whole[name].latency.histogram == total.encode().decode()


def test_every_request_is_a_row_of_the_samples(tmp_path: Path) -> None:
    parts = [recorded(), recorded(shift_ms=3)]
    write_samples(tmp_path / "all.csv", parts, SPEC, 10.0)
    with (tmp_path / "all.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 16
    starts = [int(row["start_us"]) for row in rows]
    assert starts == sorted(starts)
    assert [row["in_window"] for row in rows] == ["False"] * 2 + ["True"] * 14
    late = next(row for row in rows if row["outcome"] == "timeout")
    assert (late["status"], late["latency_us"], late["lateness_us"]) == ("0", "30000000", "2000")
    assert sum(row["worker"] == "2" for row in rows) == 8
    write_samples(tmp_path / "all.npz", parts, SPEC, 10.0)
    with np.load(tmp_path / "all.npz", allow_pickle=False) as table:
        assert table["start_us"].tolist() == starts
        assert table["outcome"].tolist() == [row["outcome"] for row in rows]


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is an extra")
def test_samples_go_to_parquet_too(tmp_path: Path) -> None:
    import pyarrow.parquet

    write_samples(tmp_path / "all.parquet", [recorded()], SPEC, 10.0)
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet").to_pydict()
    assert table["outcome"].count("200") == 4
    assert table["latency_us"][0] == 9000


def test_parquet_without_pyarrow_is_said_before_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeldyno.loadgen.stats.samples_file.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs pyarrow.*modeldyno\[parquet\].*\.csv or \.npz"):
        check_samples_file(Path("x.parquet"))
    with pytest.raises(ConfigError, match="ending must be one of"):
        check_samples_file(Path("x.txt"))
