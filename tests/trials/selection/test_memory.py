from __future__ import annotations

from modeldyno.trials.selection.stages import fitting

ANCHORS = {"base": "base", "a": "base", "b": "base", "c": "base"}
MEMORY = {"base": 100.0, "a": 100.0, "b": 100.0, "c": 100.0}
CELLS = ["a@1", "b@1", "base@1", "c@1"]


def test_what_fits_into_memory_is_up_together() -> None:
    assert fitting(CELLS, MEMORY, ANCHORS, 400.0) == [CELLS]


def test_what_does_not_is_cut_with_the_baseline_in_every_part() -> None:
    parts = fitting(CELLS, MEMORY, ANCHORS, 300.0)
    assert parts == [["a@1", "b@1", "base@1"], ["c@1", "base@1"]]


def test_one_that_is_larger_than_all_there_is_is_up_alone_with_its_baseline() -> None:
    assert fitting(["a@1", "base@1"], MEMORY, ANCHORS, 50.0) == [["a@1", "base@1"], ["base@1"]]
