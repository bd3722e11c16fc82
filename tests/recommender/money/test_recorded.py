"""Recorded traffic as it comes: with a byte order mark, ISO times, lines out of order."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.recommender.job.traffic_section import Traffic
from modeldyno.recommender.money.demand import demand
from modeldyno.recommender.money.recorded import read_trace


def write(folder: Path, text: str) -> Path:
    path = folder / "seen.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "0.5\n10\n59.9\n130\n",
        "\ufefftime\n2026-08-01T00:00:00Z\n2026-08-01T00:00:10Z\n2026-08-01 00:00:59.9+00:00\n"
        "2026-08-01T00:02:10\n",
        "minute,requests\r\n0,3\r\n120,1\r\n",
        "2026-08-01T09:00,3\n\n2026-08-01T09:02,1\n",
        "2026-08-01T11:00:00+02:00,3\n2026-08-01T09:02Z,1\n",
    ],
)
def test_times_and_counts_are_requests_a_minute(text: str, tmp_path: Path) -> None:
    found = read_trace(write(tmp_path, text))
    assert (found.per_minute, found.notes) == ((3, 0, 1), ())


def test_lines_out_of_order_are_sorted_and_told(tmp_path: Path) -> None:
    found = read_trace(write(tmp_path, "120,1\n0,3\n60,2\n0,1\n"))
    assert list(found.per_minute) == [4, 2, 1]
    assert [note.partition(": ")[2] for note in found.notes] == [
        "2 lines go back in time: they were sorted",
        "some minutes stand in several lines: they were added up",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("time\n", "is empty"),
        ("0,1\nnoon,2\n", ":2: 'noon' is no time"),
        ("0,1\n60,few\n", ":2: 'few' is no number of requests"),
        ("0,1\n60,-1\n", ":2: '-1' is no number of requests"),
        ("0,1\n60\n", ":2: found 1 cells"),
        ("0,1,2\n", ":1: found 3 cells"),
        ("0,0\n60,0\n", "has no request"),
        ("0\n1e12\n", "at most 400 can be read"),
    ],
)
def test_what_is_no_trace_names_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_trace(write(tmp_path, text))
    assert message in str(caught.value)


def test_instances_are_counted_by_the_busiest_minute_of_each_hour(tmp_path: Path) -> None:
    minutes = [60 if at != 30 else 600 for at in range(60)] + [120] * 60 + [9] * 5
    path = write(tmp_path, "".join(f"{60 * at},{count}\n" for at, count in enumerate(minutes)))
    found = demand(Traffic(trace=path, growth=2))
    assert list(found.peaks_rps) == [20, 4]  # 600 a minute are 10 a second, times the growth
    assert found.means_rps == pytest.approx((2 * (59 * 60 + 600) / 3600, 4))
    assert "its last 5 minutes are left out" in found.notes[0]
    assert "repeat the 2 h" in found.notes[1]
