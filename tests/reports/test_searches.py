"""What the page shows of a search, of a mix of bodies, and of what was compiled how."""

from __future__ import annotations

from pathlib import Path

from modeldyno.base.records.compiling import CompiledShape
from modeldyno.base.records.load import LoadResult, PayloadKind, RateSearch, RateStep, standing
from modeldyno.base.records.run import Recommendation, Row, ServerSettings, Trial
from modeldyno.reports.page.page import render
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.speedup import speedup
from modeldyno.reports.tables.load_facts import facts, kinds
from modeldyno.reports.tables.searches import searches
from tests.reports.sample import Backend, instance, point, recommendation, row, trial
from tests.reports.test_page import Page

LARGE = instance("c7a.large", 2, 0.36)


def at(rate: float) -> LoadResult:
    made = point(1, rate, 20.0)
    open_loop = {
        "users": None,
        "rate_rps": rate,
        "payload_bytes": 2048,
        "arrival": "gamma",
        "burstiness": 4.0,
    }
    return made.model_copy(update={"spec": made.spec.model_copy(update=open_loop)})


def step(rate: float, *reasons: str, certain: bool = True) -> RateStep:
    return RateStep(
        rate_rps=rate,
        met=not reasons,
        certain=certain and not reasons,
        reasons=reasons,
        figures={"error_rate": 0.0, "p95_ms": rate / 10},
        throughput_rps=rate,
        samples=900,
    )


def test_of_several_load_tests_at_a_rate_the_last_valid_one_stands() -> None:
    first, void, last = at(100), at(100), at(100)
    first, last = (one.model_copy(update={"samples": number}) for one, number in ((first, 1), (last, 3)))
    void = void.model_copy(update={"invalid_reasons": ("late",)})
    assert standing([first, last, void]) is last
    assert standing([void, first]) is first
    assert standing([void]) is void
    assert standing([]) is None


def searched(backend: Backend, met_rps: float) -> tuple[Trial, Row]:
    """A search that tried 100, 400, then `met_rps`; the row stands at the last."""
    steps = (step(100), step(400, "p95_ms is 40, limit 30"), step(met_rps, certain=False))
    found = RateSearch(
        url="u",
        limits={"error_rate": 0.01, "p95_ms": 30},
        met_rps=met_rps,
        failed_rps=400,
        began="half of what 2 users of a closed loop got 200 answers a second",
        steps=steps,
    )
    made = trial(LARGE, backend, [at(100), at(400), at(met_rps)])
    made = made.model_copy(update={"search": found})
    changed = {
        "found_rate": True,
        "throughput_rps": met_rps,
        "throughput_low_rps": 100.0,
        "throughput_high_rps": 400.0,
    }
    return made, row(made, 2, 1).model_copy(update=changed)


def run(*pairs: tuple[Trial, Row], **changed: object) -> Run:
    rows = [row.model_copy(update={"rank": number}) for number, (_, row) in enumerate(pairs, 1)]
    found: Recommendation = recommendation(rows).model_copy(update=changed)
    return Run(found, {made.candidate.key: made for made, _ in pairs})


def test_a_search_is_shown_by_rate_with_its_end_and_what_each_rate_told() -> None:
    (found,) = searches(run(searched("compiled", 200)))
    assert [each.rate for each in found.steps] == ["100", "200", "400"]
    assert [each.met for each in found.steps] == ["yes", "yes, not certain", "no"]
    assert [each.number for each in found.steps] == ["1", "3", "2"]
    assert [each.found for each in found.steps] == [False, True, False]
    assert found.limits == ("errors \u2264 1 %", "p95 \u2264 30 ms")
    assert found.steps[1].figures == ("0 %", "20.0")
    assert (
        found.end
        == "200 req/s met the limits; 400 req/s, the lowest tried above it, did not, in 3 load tests."
    )


def test_the_page_has_the_search_the_load_and_the_rate_in_the_ranking() -> None:
    text = Page(render(run(searched("compiled", 200)))).text
    assert "Searches for the highest rate" in text
    assert "200 req/s, the highest" in text.replace("\u00a0", " ")
    assert (
        "a search of the highest rate that meets the limits, open loop, where requests leave by a schedule: "
        "gamma arrivals of burstiness 4" in text
    )
    assert "p95_ms is 40, limit 30" in text
    assert "the highest rate that meets the limits: 200 (100\u2013400) requests a second" in text


def test_candidates_that_were_searched_are_compared_at_their_own_highest_rates() -> None:
    found = run(searched("compiled", 300), searched("onnxruntime", 200))
    ratio = speedup(found, found.rows[0])
    assert ratio is not None
    assert ratio.value == 1.5
    assert ratio.low < 1 < ratio.high  # the ends of both searches are far apart
    text = Page(render(found)).text
    assert "on the same instance type at its own highest rate" in text


def test_without_a_search_the_page_says_nothing_of_one() -> None:
    made = trial(LARGE, "compiled", [point(1, 50.0, 20.0)])
    text = Page(render(run((made, row(made, 0, 1))))).text
    assert "Searches" not in text
    assert "Latency by kind" not in text


def test_each_kind_of_a_mix_has_its_own_latencies() -> None:
    level = at(50)
    mixed = [
        PayloadKind(
            name=name,
            share=share,
            bodies=2,
            bytes_min=10,
            bytes_max=4096,
            samples=30,
            errors=1,
            mean_ms=5.0,
            percentiles=level.percentiles,
        )
        for name, share in (("small", 0.75), ("<large>", 0.25))
    ]
    level = level.model_copy(update={"payload_kinds": tuple(mixed)})
    made = trial(LARGE, "compiled", [level])
    found = run((made, row(made, 0, 1)))
    assert [(one.kind, one.share, one.size) for one in kinds(found)] == [
        ("small", "75 %", "10 bytes \u2013 4 KiB"),
        ("<large>", "25 %", "10 bytes \u2013 4 KiB"),
    ]
    assert dict(facts(found))["request"].startswith("2 kinds, 4 bodies of 2 KiB on average")
    queue = dict(facts(found))["server's queue"]
    assert queue == "256 requests in each process, one more gets 503"
    html = render(found)
    assert "&lt;large&gt;" in html
    assert "<large>" not in html


def test_what_was_compiled_how_and_for_which_shapes_is_shown(tmp_path: Path) -> None:
    made, best = searched("compiled", 200)
    summary = recommendation([]).compiled
    assert summary is not None
    told = summary.model_copy(
        update={
            "options": {"target": "host", "shape x": "1..8,3", "winograd": "no", "min_compiled": "0.95"},
            "tuning": "3 kernels measured now",
            "axes": ("x[0]: 1 to 8; compiled for 1, 8",),
            "shapes": (
                CompiledShape(sizes="1", p50_ms=1.25, padding_share=0.0),
                CompiledShape(sizes="8", p50_ms=None, padding_share=0.75),
            ),
        }
    )
    text = Page(render(run((made, best), compiled=told))).text
    for said in (
        "shape x",
        "1..8,3",
        "Winograd convolutions",
        "0.95",
        "3 kernels measured now",
        "75 %",
        "1.25",
    ):
        assert said in text.replace("\u00a0", " ")
    assert "x[0]: 1 to 8; compiled for 1, 8" in text


def test_processes_and_batches_stand_in_the_name_of_a_configuration() -> None:
    made, best = searched("compiled", 200)
    settings = ServerSettings(threads=1, processes=2, max_batch=8, batch_delay_ms=5)
    text = Page(render(run((made, best.model_copy(update={"settings": settings}))))).text
    assert "1 \u00d7 1, 2 processes, batches of 8 after 5 ms" in text.replace("\u00a0", " ")
