from __future__ import annotations

import pytest

from modeldyno.base.records.run import Row, Trial
from modeldyno.reports.answer import answer
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.view import bars, view
from tests.reports.sample import Backend, instance, point, recommendation, row, trial

# $0.36 an hour at 100 requests a second: 0.36 / (100 x 3600) x 1,000,000 = $1.00 per million.
LARGE, XLARGE = instance("c7a.large", 2, 0.36), instance("c7a.xlarge", 4, 0.72)
OTHER = instance("m7a.large", 2, 0.378)


def _run(*pairs: tuple[Trial, Row], rejected: int = 0) -> Run:
    rows = [one for _, one in pairs]
    ranked = rows[: len(rows) - rejected]
    trials = {made.candidate.key: made for made, _ in pairs}
    return Run(recommendation(ranked, rows[len(ranked) :]), trials)


def _pair(
    name: str, backend: Backend, rps: float, rank: int | None, *, tied: bool = False, threads: int = 2
) -> tuple[Trial, Row]:
    chosen = {"c7a.large": LARGE, "c7a.xlarge": XLARGE, "m7a.large": OTHER}[name]
    made = trial(chosen, backend, [point(4, rps, 40.0, spread=0.04)], threads=threads)
    reasons = () if rank else ("p99 31.0 ms > 20 ms at 4 users",)
    p99 = {"p99_ms": 31.26, "p99_low_ms": 29.8, "p99_high_ms": 33.1}
    return made, row(made, 0, rank, tied=tied, reasons=reasons).model_copy(update=p99)


def test_the_winner_in_one_sentence() -> None:
    found = answer(_run(_pair("c7a.large", "compiled", 100.0, 1), _pair("c7a.xlarge", "compiled", 100.0, 2)))
    # The interval: 100 requests a second are 96 to 104, so $1.00 is 0.9615 to 1.0417.
    assert found.headline == (
        "Run it on c7a.large with the compiled model: $1.00 per million requests "
        "(95 % interval 0.96\u20131.04) at p99 31 ms, emulated on this machine."
    )
    assert found.kind == "winner"
    assert (
        "Next: c7a.xlarge \u00b7 compiled \u00b7 2 \u00d7 1 at $2.00 (1.92\u20132.08) per million."
        in found.details
    )


def test_the_fidelity_is_in_the_very_sentence() -> None:
    made, best = _pair("c7a.large", "onnxruntime", 100.0, 1)
    for fidelity, end in {
        "measured": ", measured on that instance type.",
        "projected": ", projected and not measured.",
    }.items():
        found = answer(_run((made, best.model_copy(update={"fidelity": fidelity}))))
        assert found.headline.endswith(end)
        assert found.headline.startswith("Run it on c7a.large with ONNX Runtime: ")


def test_overlapping_cost_intervals_name_no_winner_and_say_what_would_settle_it() -> None:
    # m7a.large: 0.378 / (100 x 3600) x 1,000,000 = $1.05; from 0.9615 of the first to 1.0938 of the second.
    pairs = (
        _pair("c7a.large", "compiled", 100.0, 1, tied=True),
        _pair("m7a.large", "onnxruntime", 100.0, 2, tied=True),
    )
    found = answer(_run(*pairs))
    assert found.kind == "tie"
    assert found.headline == (
        "Not told apart: c7a.large with the compiled model, m7a.large with ONNX Runtime. "
        "They cost $0.96 to $1.09 per million requests, emulated on this machine."
    )
    assert found.sure.startswith("What would settle it: a longer measurement. ")
    assert "one after another" in found.sure


def test_a_mark_on_the_best_row_alone_is_no_tie() -> None:
    found = answer(
        _run(_pair("c7a.large", "compiled", 100.0, 1, tied=True), _pair("c7a.xlarge", "compiled", 100.0, 2))
    )
    assert found.kind == "winner"


def test_many_ties_are_counted() -> None:
    pairs = [
        _pair("c7a.large", "compiled", 100.0, 1, tied=True),
        _pair("c7a.large", "compiled", 99.0, 2, tied=True, threads=1),
        _pair("m7a.large", "compiled", 100.0, 3, tied=True),
        _pair("m7a.large", "onnxruntime", 100.0, 4, tied=True),
    ]
    assert answer(_run(*pairs)).headline == (
        "Not told apart: c7a.large with the compiled model (2 threads \u00d7 1 worker), "
        "c7a.large with the compiled model (1 thread \u00d7 1 worker), m7a.large with the compiled model "
        "and 1 more. They cost $0.96 to $1.09 per million requests, emulated on this machine."
    )


def test_no_configuration_meets_the_limits() -> None:
    found = answer(
        _run(
            _pair("c7a.large", "compiled", 100.0, None),
            _pair("c7a.xlarge", "compiled", 90.0, None),
            rejected=2,
        )
    )
    assert found.kind == "none"
    assert found.headline == "No configuration meets the limits: 2 were tried, emulated on this machine."


def test_nothing_could_be_measured() -> None:
    dead = trial(LARGE, "compiled", [], failure="the server died")
    run = Run(
        recommendation([], [row(dead, None, None, reasons=("the server died",))]), {dead.candidate.key: dead}
    )
    assert answer(run).headline == (
        "No configuration meets the limits: 1 was tried, and none could be measured."
    )
    assert (
        answer(Run(recommendation([]), {})).headline
        == "Nothing was measured: this run holds no configuration."
    )


def test_missing_numbers_are_said_in_words() -> None:
    made, best = _pair("c7a.large", "compiled", 100.0, 1)
    unknown = {"p99_ms": None, "p99_low_ms": None, "p99_high_ms": None, "usd_per_million": None}
    found = answer(_run((made, best.model_copy(update=unknown))))
    assert found.headline == (
        "Run it on c7a.large with the compiled model: cost not known at a p99 that too few requests "
        "were sent to state, emulated on this machine."
    )
    assert "It is the only configuration that was tried." in found.details


def test_speedup_is_told_whichever_backend_won() -> None:
    compiled, plain = _pair("c7a.large", "compiled", 100.0, 1), _pair("c7a.large", "onnxruntime", 50.0, 2)
    # Both are known to 4 %: ln low is ln 2 - sqrt(ln(1/0.96)^2 + ln(1.04)^2) = ln 2 - 0.0566.
    expected = "answers 2.0 times (1.9\u20132.1) as many requests as ONNX Runtime (2 threads \u00d7 1 worker)"
    assert any(f"The compiled model {expected}" in text for text in answer(_run(compiled, plain)).details)
    slow, fast = _pair("c7a.large", "compiled", 50.0, 2), _pair("c7a.large", "onnxruntime", 100.0, 1)
    details = answer(_run(fast, slow)).details
    assert any(
        text.startswith("The compiled model there answers 0.50 times (0.47\u20130.53)") for text in details
    )


def test_the_worked_example_gives_the_cost_of_rank_1() -> None:
    page = view(_run(_pair("c7a.large", "compiled", 100.0, 1)))
    assert page.worked_example == "$0.36 / (100 \u00d7 3600) \u00d7 1,000,000 = $1"


def test_the_cost_chart_shows_rejected_rows_by_cost_when_none_is_ranked() -> None:
    dear, cheap = _pair("c7a.xlarge", "compiled", 100.0, None), _pair("c7a.large", "compiled", 100.0, None)
    found = bars(_run(dear, cheap, rejected=2))
    assert [bar.value for bar in found] == pytest.approx([1.0, 2.0])
    assert not any(bar.best for bar in found)


@pytest.mark.parametrize(("ours", "expected"), [(100.0, "2.0\u00d7"), (51.0, "tie"), (25.0, "0.50\u00d7")])
def test_the_table_shows_the_speedup_or_a_tie(ours: float, expected: str) -> None:
    page = view(_run(_pair("c7a.large", "compiled", ours, 1), _pair("c7a.large", "onnxruntime", 50.0, 2)))
    assert [line.speedup.text for line in page.ranking] == [expected, "baseline"]
    assert page.ranking[0].speedup.interval
