from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import replace

import matplotlib as mpl
import pytest
from hdrh.histogram import HdrHistogram

from modeldyno.base.records.load import Percentile
from modeldyno.base.records.run import Limits
from modeldyno.reports.charts import findings
from modeldyno.reports.charts.charts import cost_chart, distribution_chart, throughput_chart, timeline_chart
from modeldyno.reports.charts.forest import Mark, Words, forest_chart
from modeldyno.reports.charts.histogram import quantiles
from modeldyno.reports.charts.overlay import finding, overlay_chart, side
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import Bar, Series, all_series
from tests.reports.sample import instance, point, recommendation, row, sample, trial


def _sample_series() -> tuple[Series, ...]:
    found, trials = sample()
    return all_series(Run(found, {one.candidate.key: one for one in trials}))


def _bar(value: float, low: float | None, high: float | None) -> Bar:
    return Bar("1 \u00b7 c7a.large", value, low, high, "$1", colour=1, best=True, baseline=False)


def test_quantiles_by_hand() -> None:
    # 20 requests of 1 to 20 ms: 15 of them, up to 15 ms, have at least 5 slower ones.
    histogram = HdrHistogram(1, 60_000_000, 3)
    for ms in range(1, 21):
        histogram.record_value(ms * 1000)
    result = point(1, 20 / 12, 10.0).model_copy(update={"histogram": histogram.encode().decode()})
    found = quantiles(result)
    assert [share for share, _ in found] == pytest.approx([number / 20 for number in range(1, 16)])
    assert [ms for _, ms in found] == pytest.approx(range(1, 16), rel=1e-3)


def test_no_samples_give_no_curve() -> None:
    assert quantiles(point(1, 0.0, 1.0)) == ()
    assert quantiles(point(1, 10.0, 1.0).model_copy(update={"histogram": ""})) == ()


def test_nothing_to_draw_is_none() -> None:
    assert throughput_chart((), 99.0, Limits()) is None
    assert cost_chart(()) is None
    assert cost_chart([_bar(float("inf"), None, None)]) is None
    assert distribution_chart((), Limits()) is None


def test_percentiles_that_are_not_stated_are_left_out() -> None:
    few = point(1, 10.0, 30.0)
    unstated = tuple(
        Percentile(percentile=entry.percentile, ms=None, low_ms=None, high_ms=None)
        for entry in few.percentiles
    )
    made = trial(
        instance("c7a.large", 2, 0.1), "compiled", [few.model_copy(update={"percentiles": unstated})]
    )
    series = all_series(Run(recommendation([row(made, 0, 1)]), {made.candidate.key: made}))
    assert throughput_chart(series, 99.0, Limits(p99_ms=10.0)) is None
    assert distribution_chart(series, Limits()) is not None


@pytest.mark.parametrize(
    "draw",
    [
        lambda: throughput_chart(_sample_series(), 99.0, Limits(p99_ms=60.0, throughput_rps=20.0)),
        lambda: distribution_chart(_sample_series(), Limits(p95_ms=50.0)),
        lambda: timeline_chart(_sample_series()[0], 60.0),
        lambda: cost_chart([_bar(1.0, 0.9, 1.1), _bar(2.0, 1.5, None)]),
    ],
)
def test_a_drawing_is_the_same_each_time_and_follows_the_page(draw: Callable[[], str | None]) -> None:
    first = draw()
    assert first is not None
    random.seed()
    assert draw() == first
    assert "#a100" not in first  # every stand-in colour became a variable of the page
    assert "DejaVu" not in first
    assert "var(--font)" in first
    assert "<text" in first  # text stays text
    assert "<style" not in first
    assert re.search(r'role="img" aria-labelledby="(\S+)-title" aria-describedby="\1-desc"', first)
    found = re.search("<desc [^>]*>(.*?)</desc>", first)
    assert found
    assert re.search(r"\d", found[1])  # the finding, with its numbers


def test_the_callers_matplotlib_settings_stay() -> None:
    before = dict(mpl.rcParams)
    throughput_chart(_sample_series(), 50.0, Limits())
    assert dict(mpl.rcParams) == before


def test_the_callers_matplotlib_settings_do_not_show() -> None:
    expected = timeline_chart(_sample_series()[0], None)
    with mpl.rc_context(
        {"font.size": 30, "xtick.major.size": 30, "axes.linewidth": 9, "svg.fonttype": "path"}
    ):
        assert timeline_chart(_sample_series()[0], None) == expected


def test_values_far_apart_are_drawn_on_a_logarithmic_scale() -> None:
    made = trial(instance("c7a.large", 2, 0.1), "compiled", [point(1, 100.0, 2.0), point(64, 101.0, 900.0)])
    series = all_series(Run(recommendation([row(made, 0, 1)]), {made.candidate.key: made}))
    drawn = throughput_chart(series, 50.0, Limits())
    assert drawn is not None
    assert all(f">{tick}</text>" in drawn for tick in (2, 5, 10, 20, 50, 100, 200, 500))


def test_a_limit_is_drawn_where_it_is_or_said_to_be_above() -> None:
    series = _sample_series()
    near, far = (throughput_chart(series, 99.0, Limits(p99_ms=limit)) for limit in (60.0, 5000.0))
    assert near is not None
    assert far is not None
    assert "p99 \u2264 60 ms</text>" in near
    assert "p99 \u2264 5000 ms: above this chart</text>" in far


def test_dollar_signs_are_no_formulas_and_names_are_escaped() -> None:
    hostile = replace(_bar(1.0, 0.9, 1.1), label="$x$ <script>'\"& \u4e2d\u6587 \U0001f600")
    drawn = cost_chart([hostile])
    assert drawn is not None
    assert ">$x$ &lt;script&gt;" in drawn  # as the text of an element, not only in the description
    assert "<script" not in drawn
    assert "\u4e2d\u6587 \U0001f600" in drawn


def test_what_a_chart_shows_is_said_in_words() -> None:
    series = _sample_series()
    assert (
        "1 c7a.large \u00b7 compiled \u00b7 2 \u00d7 1: 66.0 requests a second at 43."
        in findings.of_levels(series, 99.0)
    )
    # Of the seconds after the warm-up: 30 ms times 1.3 to 1.5.
    told = findings.of_time(series[0])
    found = re.search(r"p99 of a second from ([\d.]+) to ([\d.]+) ms; no errors\.$", told)
    assert found
    assert 38 < float(found[1]) < float(found[2]) < 46
    assert "half within 30" in findings.of_percentiles(series)


def test_an_interval_beyond_reach_is_cut_and_the_line_at_1_is_always_there() -> None:
    marks = [Mark("a", "1.5\u00d7", 1.5, 1.4, 1.6, 1), Mark("b", "0.9\u00d7", 0.9, 0.0, math.inf, 2)]
    drawn = forest_chart(marks, Words("apart", "How far", "b may be anywhere.", "cost"))
    assert drawn is not None
    assert "1\u00d7</text>" in drawn
    assert "<desc" in drawn
    assert forest_chart([], Words("apart", "", "", "")) is None


def test_two_sides_are_drawn_over_each_other_and_told_apart_in_words() -> None:
    two = [
        side(name, point(1, rps, ms, seed=1), colour, dashed=colour == 2)
        for colour, (name, rps, ms) in enumerate((("compiled", 60.0, 20.0), ("ONNX Runtime", 40.0, 30.0)), 1)
    ]
    both = [one for one in two if one is not None]
    assert finding(both).startswith("compiled: half of 720 requests within 20")
    drawn = overlay_chart(both)
    assert drawn is not None
    assert re.search(r">ONNX Runtime: (29|30)", drawn)
    assert overlay_chart(both[:1]) is None
    assert side("none", point(1, 0.0, 1.0), 1, dashed=False) is None
