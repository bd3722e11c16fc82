from __future__ import annotations

from pathlib import Path

import numpy as np

from modeldyno.loadgen.stats.recording import FailureKind, Recorder, load_recording, save_recording

MS = 1_000_000
BOOM = FailureKind(500, "status", "x" * 400)


def recorder() -> Recorder:
    fresh = Recorder(warmup_s=1.0, longest_s=2.0)
    fresh.start_ns = 5 * MS
    return fresh


def test_times_are_whole_microseconds_from_the_start() -> None:
    taken = recorder()
    taken.begin(1005 * MS)
    taken.succeed(1005 * MS, 1005 * MS + 1_234_499, lag_ns=7_999)
    found = taken.recording(users=1)
    assert (found.start_us[0], found.latency_us[0], found.lag_us[0]) == (1_000_000, 1234, 7)


def test_only_requests_that_start_in_the_window_are_waited_for() -> None:
    taken = recorder()
    for start_ms in (0, 999, 1000, 2999, 3000):
        taken.begin((start_ms + 5) * MS)
    assert taken.in_flight == 2
    taken.succeed(1005 * MS, 9000 * MS)
    taken.fail(3004 * MS, 9000 * MS, BOOM)
    taken.succeed(3005 * MS, 9000 * MS)
    assert taken.in_flight == 0


def test_arrivals_that_are_held_behind_an_earlier_end_count_no_more() -> None:
    taken = recorder()
    due = [(ms + 5) * MS for ms in (1200, 1500, 2500, 3500)]
    for due_ns in due:
        taken.arrive(due_ns, held_back=False)
        taken.begin(due_ns)
    taken.close(2005 * MS, due[1:])
    assert (taken.arrivals, taken.in_flight) == (2, 2)
    for due_ns in due:
        taken.succeed(due_ns, due_ns + MS)
    assert taken.recording(users=1).lost == 0


def test_failures_are_told_apart_by_status_or_kind_and_keep_the_first_message() -> None:
    taken = recorder()
    others = (
        FailureKind(500, "status", "later"),
        FailureKind(None, "timeout", "a"),
        FailureKind(None, "cut", "b"),
    )
    for failure in (BOOM, *others):
        taken.fail(2000 * MS, 2001 * MS, failure)
    found = taken.recording(users=1)
    assert found.failure_kind.tolist() == [0, 0, 1, 2]
    assert [(kind.status, kind.message) for kind in found.kinds] == [
        (500, "x" * 300),
        (None, "a"),
        (None, "b"),
    ]


def test_requests_without_an_end_are_counted_as_lost() -> None:
    taken = recorder()
    taken.begin(1500 * MS)
    taken.miss(1600 * MS)
    taken.miss(3600 * MS)
    assert taken.recording(users=1).lost == 2


def test_a_recording_survives_its_file(tmp_path: Path) -> None:
    taken = recorder()
    taken.arrive(1005 * MS, held_back=True)
    taken.arrive(5 * MS, held_back=True)
    taken.succeed(1005 * MS, 1006 * MS)
    taken.fail(1007 * MS, 1008 * MS, BOOM)
    before = taken.recording(users=3)
    save_recording(tmp_path / "recording.npz", before)
    after = load_recording(tmp_path / "recording.npz")
    for name, value in vars(before).items():
        assert np.array_equal(getattr(after, name), value), name
    assert (after.arrivals, after.held_back, after.users) == (1, 1, 3)
