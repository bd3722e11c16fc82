"""The one-file report of a gate."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateRecord
from modeldyno.gate.show.charts import (
    BASELINE,
    CANDIDATE,
    _edges,
    latencies,
    overlay_chart,
    overlay_finding,
)
from modeldyno.gate.show.page import render
from modeldyno.reports.charts.overlay import BINS, Side, shares_between
from tests.gate.show.samples import ALL, EQUAL, HOSTILE, REGRESSION, VOID, poisoned
from tests.reports.browser import needs_browser, opened
from tests.reports.test_page import TAGS, Page

MORE_TAGS = {"title", "desc", "section", "figure"}
EVERY = pytest.mark.parametrize("made", [*ALL.values(), poisoned()], ids=[*ALL, "markup"])


@EVERY
def test_the_page_loads_nothing_and_runs_nothing(made: GateRecord) -> None:
    source = render(made)
    page = Page(source)
    assert page.tags <= TAGS | MORE_TAGS
    own = {"data:,", *(f"#{one}" for one in page.values("id"))}
    assert {*page.values("href"), *page.values("src"), *page.values("xlink:href")} <= own
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert set(re.findall(r"url\((.)", source)) <= {"#"}
    assert "default-src 'none'" in source


@EVERY
def test_the_answer_comes_before_all_numbers(made: GateRecord) -> None:
    text = Page(render(made)).text
    answer = text.index(" ".join(made.headline.replace("\x1b[31m", "").split())[-40:], 400)
    for word in ("Metrics", "The two sides", "How it was measured"):
        assert word not in text or text.index(word) > answer


def test_sections_come_in_reading_order() -> None:
    text = Page(render(REGRESSION)).text
    wanted = (
        *("resnet50 against main", "1 August 2026, 12:00 UTC", "Regression: ", "weak"),
        *("stop what else runs there", "4 times out of 5", "Metrics", "over the limit of 5 %"),
        *("Latencies of both sides", "Which kernels", "fused_conv2d_add_relu", "81 %", "toolchain.llvm"),
        *("The two sides", "How it was measured", "0.40 %", "dyno gate --baseline main"),
    )
    at = -1
    for word in wanted:
        found = text.find(word, at + 1)
        assert found > at, f"{word!r} does not come after what goes before"
        at = found


def test_both_figures_say_what_they_show() -> None:
    source = render(REGRESSION)
    drawings = re.findall(r"<svg class=\"chart\".*?</svg>", source, re.DOTALL)
    assert len(drawings) == 2
    told = []
    for drawing in drawings:
        root = ET.fromstring(drawing)  # noqa: S314 - we wrote it
        title, desc = root[0], root[1]
        assert (root.attrib["role"], title.tag, desc.tag) == ("img", "title", "desc")
        assert root.attrib["aria-labelledby"] == title.attrib["id"]
        assert root.attrib["aria-describedby"] == desc.attrib["id"]
        told.append(desc.text or "")
    assert "p50 latency: slower by 6.1 % (5.3 to 7.0), over the limit of 5 %" in told[0]
    assert told[1].startswith("baseline: half within 10.2 ms")


def test_ids_are_unique_and_references_resolve() -> None:
    source = render(REGRESSION)
    ids = Page(source).values("id")
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", source)) <= set(ids)


@needs_browser
def test_the_page_opens_without_a_word_in_the_console(tmp_path: Path) -> None:
    page = tmp_path / "gate.html"
    page.write_text(render(REGRESSION))
    assert opened(page, tmp_path)[1] == []


def test_the_same_record_gives_the_same_bytes() -> None:
    assert render(REGRESSION) == render(REGRESSION)


@pytest.mark.parametrize("made", [EQUAL, VOID], ids=["equal", "void"])
def test_without_measurements_there_are_no_figures(made: GateRecord) -> None:
    assert "<svg" not in render(made)


def test_texts_of_a_record_do_not_become_markup() -> None:
    page = Page(render(poisoned()))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE[:-5]) > 20


def test_the_histogram_is_read_as_it_was_recorded() -> None:
    baseline, candidate = latencies(REGRESSION)
    assert baseline.count == candidate.count == 4000
    assert baseline.quantile(0.5) == pytest.approx(10.2, rel=0.01)
    assert candidate.quantile(0.5) == pytest.approx(10.822, rel=0.01)


def test_quantiles_count_the_requests_of_a_cell() -> None:
    side = Side("baseline", BASELINE, True, ((1.0, 50), (2.0, 45), (9.0, 5)))
    assert [side.quantile(part) for part in (0.5, 0.51, 0.95, 0.96, 1.0)] == [1.0, 2.0, 2.0, 9.0, 9.0]
    assert overlay_finding([side]) == "baseline: half within 1.00 ms, 95 % within 2.00 ms, of 100 requests."


def test_latencies_far_apart_are_drawn_by_their_ratios() -> None:
    near = _edges(10.0, 12.0)
    assert near[1] - near[0] == pytest.approx(near[-1] - near[-2])
    far = _edges(0.2, 11.0)
    assert far[1] / far[0] == pytest.approx(far[-1] / far[-2])
    assert (far[0], far[-1]) == pytest.approx((0.2, 11.0))
    side = Side("baseline", BASELINE, True, ((0.2, 90), (11.0, 10)))
    assert shares_between(side, far)[0] == 90.0
    assert shares_between(side, far)[-1] == 10.0


def test_sides_of_one_latency_each_are_drawn_too() -> None:
    one = Side("baseline", BASELINE, True, ((5.0, 10),))
    drawing = overlay_chart((one, Side("candidate", CANDIDATE, False, ((5.0, 12),))))
    assert drawing is not None
    assert BINS > 1
    assert "median 5.00 ms" in drawing


def test_a_damaged_histogram_names_its_side() -> None:
    text = REGRESSION.histograms["candidate"][:-30]
    broken = REGRESSION.model_copy(update={"histograms": {**REGRESSION.histograms, "candidate": text}})
    with pytest.raises(ConfigError, match=r"gate.json: candidate: a histogram cannot be decoded"):
        render(broken)


def test_an_end_that_is_open_reaches_the_edge() -> None:
    first = REGRESSION.metrics[0].model_copy(update={"change_high": None})
    assert "5.3 or more" in render(REGRESSION.model_copy(update={"metrics": (first,)}))
