from __future__ import annotations

from pathlib import Path

from modeldyno.loadgen.generator.progress import EventReader, Finished, LoadProgress, Started, append_event

STATE = LoadProgress(3.0, 12.0, False, 30, 1, 10.0, 2.5, None)


def test_events_are_read_once_in_order(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    reader = EventReader(path)
    assert reader.read() == []
    append_event(path, Started(17))
    append_event(path, STATE)
    assert reader.read() == [Started(17), STATE]
    append_event(path, Finished())
    assert reader.read() == [Finished()]
    assert reader.read() == []


def test_a_line_that_is_half_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    append_event(path, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:10])
    reader = EventReader(path)
    assert reader.read() == [STATE]
    path.write_bytes(whole + whole)
    assert reader.read() == [STATE]


def test_the_time_left_is_never_negative() -> None:
    assert STATE.seconds_left == 9.0
    assert LoadProgress(13.0, 12.0, False, 0, 0, 0.0, None, None).seconds_left == 0.0
