"""What a run whose candidates took turns says: the answer, how sure, one answer to one question."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from modeldyno.base.records.ranked_warning import RankedWarning
from modeldyno.base.records.run import Row, Trial
from modeldyno.reports.alerts import alerts
from modeldyno.reports.answer import answer
from modeldyno.reports.figures import distances, ratios, sides
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import all_series
from modeldyno.reports.results.speedup import speedup
from modeldyno.reports.view import view
from tests.reports.sample import row
from tests.reports.side_by_side import (
    LARGE,
    MEDIUM,
    OTHER_LARGE,
    SAME,
    Against,
    against,
    comparison,
    measured,
    same_machine,
    side_by_side,
    throughputs,
    told,
)

OURS, THEIRS = measured(LARGE, "compiled", 90.0, 22.0, 1), measured(LARGE, "onnxruntime", 60.0, 33.0, 3)


def _golden(**more: object) -> Run:
    found, trials = side_by_side()
    return Run(found.model_copy(update=more), {one.candidate.key: one for one in trials})


def _run(rows: Sequence[Row], trials: Sequence[Trial], ratio: Against | None, settling: str = "") -> Run:
    pairs = [throughputs(trials[0], trials[1], 2, ratio)] if ratio else []
    how = comparison(trials, pairs, settling)
    return Run(told(rows, [], how), {one.candidate.key: one for one in trials})


def _pair(ratio: Against, best: Against, other: Against, *, tied: bool) -> Run:
    first = against(row(OURS, 1, 1, tied=tied), best)
    second = against(row(THEIRS, 1, 2, tied=tied), other)
    return _run([first, second], [OURS, THEIRS], ratio)


def test_one_machine_of_two_names_is_named_by_its_shape() -> None:
    assert answer(_golden()).headline == (
        "Run it on 2 vCPUs with the compiled model (c7i.large or c7a.large, which are one machine here): "
        "$0.27 to $0.33 per million requests, by the price of the type, at p99 32 ms, "
        "emulated on this machine."
    )


def test_a_type_is_named_where_the_projection_decides() -> None:
    run = _golden(same_machines=(SAME.model_copy(update={"decided": True}),))
    found = answer(run)
    assert found.headline.startswith("Run it on c7i.large with the compiled model: $0.275 per million")
    assert "c7i.large is one machine here with c7a.large: measured once" in found.details[2]


def test_how_sure_is_the_distance_to_the_next_machine_not_to_the_same_under_another_name() -> None:
    # 0.87 (0.81 to 0.94) of the next best's cost is 13 % less (6 to 19 % less).
    assert answer(_golden()).sure == (
        "How sure: it costs 13 % less (95 % interval: 6 to 19 %) than the next best, c7a.medium with the "
        "compiled model; measured in turns, 36 rounds, 2 starts of each server."
    )


def test_what_could_change_it_names_void_projected_and_emulated() -> None:
    found = answer(_golden()).change
    assert "1 configuration left out, since the load test is void" in found
    assert "which type is cheaper (c7i.large or c7a.large) is projected" in found
    assert "a real instance has another clock" in found


def test_a_tie_says_what_would_settle_it_and_for_how_long() -> None:
    settling = "about 3 times as long would tell them apart if they differ by what was seen: 4 min more"
    first = against(row(OURS, 1, 1, tied=True), (0.97, 0.9, 1.04))
    second = against(row(THEIRS, 1, 2, tied=True), (1.03, 0.96, 1.1))
    found = answer(_run([first, second], [OURS, THEIRS], (1.03, 0.96, 1.1), settling))
    assert found.headline.startswith(
        "Not told apart: c7a.large with the compiled model, c7a.large with ONNX Runtime. "
    )
    assert found.sure.startswith(f"What would settle it: {settling}.")


def test_the_speedup_is_that_of_the_shared_rounds() -> None:
    run = _pair((1.5, 1.41, 1.6), (0.67, 0.6, 0.7), (1.5, 1.4, 1.6), tied=False)
    found = speedup(run, run.rows[0])
    assert found is not None
    assert (found.value, found.low, found.high, found.rounds) == (1.5, 1.41, 1.6, 36)
    assert any(
        "answers 1.5 times (1.4\u20131.6) as many requests" in text and "in 36 shared rounds" in text
        for text in answer(run).details
    )


def test_two_rows_that_are_not_told_apart_have_no_ratio_that_says_otherwise() -> None:
    run = _pair((0.91, 0.84, 0.98), (0.95, 0.85, 1.06), (1.05, 0.94, 1.18), tied=True)
    found = speedup(run, run.rows[0])
    assert found is not None
    assert found.tie
    assert (found.low, found.high) == (0.84, 1.0)


def test_two_rows_that_are_told_apart_are_no_tie_in_throughput() -> None:
    # Five rounds of the screening say 0.1 to 8; the ranking says that the other costs 1.5 times (1.4 to 1.6).
    run = _pair((0.94, 0.11, 8.0), (0.67, 0.6, 0.7), (1.5, 1.4, 1.6), tied=False)
    found = speedup(run, run.rows[0])
    assert found is not None
    assert not found.tie
    assert (found.low, found.value, found.high) == (1.4, 1.5, 1.6)


def test_the_same_holds_where_the_baseline_is_best() -> None:
    first = against(row(THEIRS, 1, 1), (0.5, 0.4, 0.6))
    second = against(row(OURS, 1, 2), (2.0, 1.6, 2.5))
    run = Run(
        told(
            [first, second], [], comparison([OURS, THEIRS], [throughputs(OURS, THEIRS, 2, (0.9, 0.1, 8.0))])
        ),
        {one.candidate.key: one for one in (OURS, THEIRS)},
    )
    found = speedup(run, second)
    assert found is not None
    assert (found.low, found.value, found.high) == (1 / 2.5, 1 / 2.0, 1 / 1.6)


def test_rows_measured_under_another_name_have_that_ones_ratio() -> None:
    run = _golden()
    assert [round(found.value, 2) for one in run.rows if (found := speedup(run, one))] == [1.5, 1.5]


@pytest.mark.parametrize("void", [0, 1])
def test_no_ratio_is_made_of_a_void_test(void: int) -> None:
    made = [OURS, THEIRS]
    late = {"invalid_reasons": ("requests were sent late",)}
    points = tuple(one.model_copy(update=late) for one in made[void].points)
    made[void] = made[void].model_copy(update={"points": points})
    rows = [row(made[0], 1, 1), row(made[1], 1, 2)]
    rows[void] = rows[void].model_copy(update=late)
    for ratio in ((1.5, 1.41, 1.6), None):
        run = _run(rows, made, ratio)
        assert speedup(run, run.rows[0]) is None
        assert "times" not in " ".join(answer(run).lines)


def test_no_ratio_is_made_of_a_level_that_is_void_though_the_row_stands_at_another() -> None:
    late = THEIRS.points[1].model_copy(update={"invalid_reasons": ("requests were sent late",)})
    theirs = THEIRS.model_copy(update={"points": (THEIRS.points[0], late)})
    rows = [row(OURS, 1, 1), row(theirs, 0, 2)]
    for ratio in ((1.5, 1.41, 1.6), None):
        assert speedup(_run(rows, [OURS, theirs], ratio), rows[0]) is None


def test_a_winner_without_shared_rounds_is_not_called_sure() -> None:
    found = answer(_run([row(OURS, 1, 1), row(THEIRS, 1, 2)], [OURS, THEIRS], None))
    assert found.sure == "How sure: that is not known, it shared no rounds with the others."


def test_the_same_machine_is_not_the_next_one() -> None:
    again = same_machine(OURS, OTHER_LARGE)
    small = measured(MEDIUM, "compiled", 36.0, 52.0, 5)
    rows = [row(again, 1, 1), row(OURS, 1, 2), row(small, 1, 3)]
    how = comparison([OURS, small], [])
    run = Run(
        told(rows, [], how, same_machines=(SAME,)), {one.candidate.key: one for one in (OURS, again, small)}
    )
    assert any(text.startswith("Next: c7a.medium") for text in answer(run).details)
    assert not any(text.startswith("Next: c7a.large") for text in answer(run).details)


def test_warnings_come_by_rank_and_those_of_rows_last() -> None:
    found = alerts(_golden())
    assert [one.rank for one in found] == ["void", "weak", "note", "note"]
    assert found[0].line.endswith("\u2192 run it again with --retry-failed, or free the machine")
    assert found[3].text.endswith("(every load test)")


def test_a_warning_of_the_run_without_advice_has_that_of_its_rank() -> None:
    bare = RankedWarning(rank="weak", text="the machine did other work")
    found = alerts(_golden(warnings=(bare,)))
    assert [one.word for one in found[:2]] == ["void", "less sure"]  # the void row is told in any case
    assert found[1].said == (
        "the machine did other work \u2192 measure again on a quiet machine with a core to spare for the load"
    )


def test_each_row_says_how_it_stands_to_the_best() -> None:
    page = view(_golden())
    # 1.15 (1.06 to 1.24) of the best's cost; the baseline 1.5 (1.4 to 1.61).
    assert [line.verdict for line in page.ranking] == [
        "cheapest shape, 2 vCPUs; which type is projected",
        "the same machine here as c7i.large, at another price",
        "costs 15 % more (95 % interval: 6 to 24 %) than the best; less sure: it shares its cores with the "
        "load generator, the other does not: it looks slower than it is",
        "costs 50 % more (95 % interval: 40 to 61 %) than the best",
        "the same machine here as c7i.large, at another price",
    ]
    assert [line.same_as for line in page.ranking] == ["", "c7i.large", "", "", "c7i.large"]
    assert [line.less_sure for line in page.ranking] == [False, False, True, False, False]
    assert [line.verdict for line in page.void] == ["not ranked: its load test is void"]
    assert [one.line.verdict for one in page.rejected] == ["rejected"]


def test_the_figures_draw_each_machine_once() -> None:
    run = _golden()
    assert [(mark.label, mark.text) for mark in distances(run)] == [
        ("1 \u00b7 2 vCPUs \u00b7 compiled", "0.87\u00d7 (0.81\u20130.94)"),
        ("3 \u00b7 c7a.medium \u00b7 compiled", "1.15\u00d7 (1.06\u20131.24)"),
        ("4 \u00b7 2 vCPUs \u00b7 ONNX Runtime", "1.5\u00d7 (1.4\u20131.6)"),
    ]
    assert [(mark.label, mark.value) for mark in ratios(run)] == [("1 \u00b7 2 vCPUs \u00b7 compiled", 1.5)]
    assert [(one.name, one.dashed, one.count) for one in sides(run)] == [
        ("compiled", False, 1080),
        ("ONNX Runtime", True, 720),
    ]
    assert [one.tag for one in all_series(run)] == ["1", "3", "4", "V1"]
