from __future__ import annotations

import bisect
import json
import re
import shutil
from collections.abc import Iterable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modeldyno.base.command.cli import SUMMARIES
from modeldyno.base.errors import OutputError
from modeldyno.base.records.run import Limits, Recommendation, Row, Trial
from modeldyno.reports.cli import report_command
from modeldyno.reports.page.page import keep_together, render, write_report
from modeldyno.reports.page.plots import hash_of
from modeldyno.reports.remarks import warnings
from modeldyno.reports.results.run_folder import Run, read_run
from modeldyno.reports.view import view
from tests.reports.sample import (
    GOLDEN,
    HOSTILE,
    instance,
    point,
    recommendation,
    row,
    sample,
    trial,
    write_run,
)

LARGE = instance("c7a.large", 2, 0.1)
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "main",
        "header",
        "section",
        "figure",
        "figcaption",
    ),
    *(
        "h1",
        "h2",
        "h3",
        "p",
        "a",
        "b",
        "strong",
        "small",
        "span",
        "br",
        "code",
        "pre",
        "div",
        "details",
        "summary",
    ),
    *("ol", "ul", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td"),
    *("svg", "g", "path", "use", "text", "tspan", "rect", "defs", "clippath", "line", "circle", "desc"),
    "script",
}


class Page(HTMLParser):
    """What is on the page: tags, attributes and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))  # \s takes no-break spaces too

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


def _run(found: Recommendation, trials: Iterable[Trial]) -> Run:
    return Run(found, {one.candidate.key: one for one in trials})


@cache
def _golden() -> str:
    return render(read_run(GOLDEN))


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(GOLDEN, tmp_path / "elsewhere"))
    made = write_report(run_dir)
    assert made == run_dir / "report.html"
    assert made.read_bytes() == _golden().encode()


def test_the_page_loads_nothing_and_runs_its_own_script_alone() -> None:
    source = _golden()
    page = Page(source)
    assert page.tags <= TAGS
    assert {*page.values("href"), *page.values("src"), *page.values("xlink:href")} <= _own_references(page)
    assert not re.search(r"@import|https?://[^ ]+\.(css|js|woff|png)", source)
    assert set(re.findall(r"url\((.)", source)) <= {"#"}
    policy = re.search('Content-Security-Policy" content="([^"]+)"', source)
    assert policy
    scripts = re.findall("<script>(.*?)</script>", source, re.DOTALL)
    assert len(scripts) == 1
    assert "Permission is hereby granted, free of charge" in scripts[0]
    assert set(policy[1].split("; ")) == {
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        f"script-src '{hash_of(scripts[0])}'",
    }


def test_a_page_without_measurements_has_no_script() -> None:
    source = render(_empty())
    assert "<script" not in source
    assert "script-src" not in source


def test_what_the_script_draws_is_what_was_measured() -> None:
    found = re.search('<script type="application/json" id="plots">(.*?)</script>', _golden())
    assert found
    plots = json.loads(found[1])
    curve = plots["percentiles"]["series"][0]
    # The median of the level that rank 1 stands at, 2 users: 30 ms, drawn at 1 / (1 - 0.5) = 2.
    at = bisect.bisect_left(plots["percentiles"]["x"], 2.0)
    assert curve["label"].startswith("1 ")
    assert abs(curve["y"][at] - 30) < 1
    assert plots["time"]["x"] == list(range(15))
    assert {len(one["y"]) for one in plots["time"]["series"]} == {15}


def _own_references(page: Page) -> set[str]:
    return {"data:,", *(f"#{one}" for one in page.values("id"))}


def test_ids_are_unique_and_references_resolve() -> None:
    source = _golden()
    page = Page(source)
    ids = page.values("id")
    assert len(ids) == len(set(ids)) > 10
    assert set(re.findall(r"url\(#([^)]+)\)", source)) <= set(ids)


def test_sections_come_in_reading_order() -> None:
    text = Page(_golden()).text
    wanted = (
        *(
            "resnet50-v1-12.onnx",
            "3 February 2026, 10:12 UTC",
            "AMD EPYC 9R14",
            "Not told apart: c7a.large",
            "emulated on this machine",
        ),
        *("Limits", "p99 at most 60 ms", "Ranking", "Charts", "Rejected configurations", "Warnings"),
        *(
            "What the emulation leaves out",
            "Notes of this run",
            "What each number means",
            "Prices",
            "2026-01-19",
        ),
        *("Compiled model", "3.1e-06", "Host and versions", "6.1.0-18-amd64", "0.27.0", "All load levels"),
        *("How to make this page again", "dyno report RUN_DIR"),
    )
    at = -1
    for words in wanted:
        found = text.find(words, at + 1)
        assert found > at, f"{words!r} does not come after what goes before"
        at = found


def test_every_rejected_candidate_has_its_reasons_and_its_last_lines() -> None:
    run = read_run(GOLDEN)
    text = Page(_golden()).text
    assert run.recommendation.rejected
    for rejected in run.recommendation.rejected:
        assert rejected.reasons
        for reason in rejected.reasons:
            assert reason in text
    assert "cannot allocate 3221225472 bytes" in text
    assert '214 requests failed with HTTP 500: {"error": "out of memory"}' in text
    assert text.count("the server died while loading") == 1  # once, although row and trial both say it


def test_warnings_are_collected_with_their_places() -> None:
    text = Page(_golden()).text
    assert "(every load test)" in text
    assert "it may have held the server back (4 at 2 users)" in text
    assert "the host's processor is not the instance type's (all)" in text


def test_warnings_that_differ_in_numbers_alone_become_one() -> None:
    texts = [("steal 9.5% of 2 cores on t3.micro",), ("steal 32% of 2 cores on t3.micro", "p99 is off"), ()]
    loads = [point(users, 50.0, 20.0, warnings=text) for users, text in zip((1, 2, 4), texts, strict=True)]
    only = trial(LARGE, "compiled", loads)
    found = {one.text: one.where for one in warnings(_run(recommendation([row(only, 1, 1)]), [only]))}
    assert found == {
        "latency under a closed loop hides queueing: users wait when the server is slow": "every load test",
        "steal 9.5\u201332% of 2 cores on t3.micro": "1 at 2 users, 1 user",
        "p99 is off": "1 at 2 users",
    }


def test_a_row_is_marked_for_warnings_of_its_own_alone() -> None:
    marked = {line.tag: line.tainted for line in view(read_run(GOLDEN)).ranking}
    assert not any(marked.values())  # the one at rank 4 is of another load level
    noisy = trial(LARGE, "compiled", [point(1, 50.0, 20.0, warnings=("noisy",)), point(2, 60.0, 30.0)])
    rows = [row(noisy, 0, 1), row(noisy, 1, 2)]
    assert [line.tainted for line in view(_run(recommendation(rows), [noisy])).ranking] == [True, False]


def test_what_does_not_fit_together_is_a_warning(tmp_path: Path) -> None:
    found, trials = sample()
    stray = trial(instance("x.large", 2, 1.0), "compiled", [])
    elsewhere = trials[1].points[0].host.model_copy(update={"cpu_model": "another"})
    moved = trials[1].model_copy(
        update={"points": tuple(p.model_copy(update={"host": elsewhere}) for p in trials[1].points)}
    )
    text = Page(render(_run(found, [moved, *trials[2:], stray]))).text
    assert "The trial record is missing: no curves and no load levels. (1)" in text
    assert "left out. (x.large_compiled_t2_w1)" in text
    assert "Taken on another processor than the one named above: do not compare. (2)" in text


def test_nothing_of_the_records_becomes_markup() -> None:
    found, trials = sample()
    hostile = Recommendation.model_validate(_poisoned(found.model_dump()))
    source = render(_run(hostile, [Trial.model_validate(_poisoned(one.model_dump())) for one in trials]))
    page = Page(source)
    assert page.tags <= TAGS
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert {*page.values("href")} <= _own_references(page)
    assert page.text.count(HOSTILE) > 50
    assert "{{ 7 * 7 }}$x$" in page.text


_FIXED = {"backend", "fidelity", "architecture", "arrival", "objective", "histogram"}


def _poisoned(value: Any, name: str = "") -> Any:
    """Put markup in front of every text that is free."""
    if isinstance(value, dict):
        packages = name == "packages"
        return {(_poisoned(key) if packages else key): _poisoned(one, key) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_poisoned(one, name) for one in value]
    if not isinstance(value, str) or (name in _FIXED and value in {"x86_64", *_NAMES}) or name == "histogram":
        return value
    return f"\"'>{HOSTILE}{{{{ 7 * 7 }}}}$x${value}"


_NAMES = {"onnxruntime", "compiled", "emulated", "poisson", "usd_per_million"}


def _empty() -> Run:
    return Run(recommendation([]), {})


def _only_failures() -> Run:
    dead = trial(LARGE, "compiled", [], failure="the server died")
    return _run(recommendation([], [row(dead, None, None, reasons=("the server died",))]), [dead])


def _one_candidate_one_level() -> Run:
    only = trial(LARGE, "compiled", [point(1, 50.0, 20.0)])
    return _run(recommendation([row(only, 0, 1)], limits=Limits(error_rate=None)), [only])


def _zero_samples() -> Run:
    none = trial(LARGE, "compiled", [point(1, 0.0, 1.0)])
    infinite = {
        "usd_per_million": float("inf"),
        "usd_per_million_low": 3.0,
        "usd_per_million_high": float("inf"),
    }
    return _run(recommendation([row(none, 0, 1).model_copy(update=infinite)]), [none])


def _open_loop_without_server_facts() -> Run:
    measured = point(1, 50.0, 20.0)
    spec = measured.spec.model_copy(update={"users": None, "rate_rps": 50.0})
    bare = measured.model_copy(update={"spec": spec, "server": None, "timeline": (), "lateness_p99_ms": 1.25})
    only = trial(LARGE, "onnxruntime", [bare])
    return _run(recommendation([row(only, 0, 1)]), [only])


def _projected_row_without_trial() -> Run:
    only = trial(LARGE, "compiled", [point(1, 50.0, 20.0)])
    projected = row(only, 0, 1).model_copy(update={"fidelity": "projected"})
    return Run(recommendation([projected]), {})


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (_empty(), ["Nothing was measured", "Nothing to rank."]),
        (_only_failures(), ["none could be measured", "the server died"]),
        (_one_candidate_one_level(), ["It is the only configuration", "No limits were set"]),
        (_zero_samples(), ["\u221e per million requests", "a p99 that too few requests"]),
        (_open_loop_without_server_facts(), ["50.0 req/s", "No time line was recorded", "1.25"]),
        (_projected_row_without_trial(), ["projected and not measured", "The trial record is missing"]),
    ],
)
def test_thin_runs_make_a_page_too(tmp_path: Path, run: Run, expected: list[str]) -> None:
    again = read_run(write_run(tmp_path, run.recommendation, list(run.trials.values())))
    assert again == run  # infinity included
    page = Page(render(again))
    assert page.tags <= TAGS
    for words in expected:
        assert words in page.text


def test_many_candidates_fit_on_the_page() -> None:
    trials = [
        trial(
            instance(f"m{number}.large", 2, 0.1 + number / 100),
            "onnxruntime" if number % 2 else "compiled",
            [point(users, 20.0 + number + users, 40.0 + number, seed=number) for users in (1, 2)],
        )
        for number in range(24)
    ]
    rows: list[Row] = [row(made, 1, rank) for rank, made in enumerate(trials, 1)]
    source = render(_run(recommendation(rows), trials))
    page = Page(source)
    assert "the other 18" in page.text  # six have a colour, the rest is grey
    assert "The other 12" in page.text  # twelve time lines are open, the rest is folded
    assert "The first 16 are drawn" in page.text
    labels = [*page.values("aria-label"), *re.findall("<desc[^>]*>(.*?)</desc>", source)]
    assert source.count(">Latency by second</title>") == 24
    assert max(map(len, labels)) < 1500  # what is read aloud stays short


def test_numbers_stay_with_their_units() -> None:
    assert keep_together("p99 31 ms, 95 % CI, 2 threads \u00d7 1 worker, 31 men") == (
        "p99 31\u00a0ms, 95\u00a0% CI, 2\u00a0threads \u00d7\u00a01\u00a0worker, 31 men"
    )


def test_the_command_writes_where_it_is_told_and_says_so(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", recommendation([]), [])
    output = tmp_path / "new" / "page.html"
    result = CliRunner().invoke(report_command, [str(run_dir), "--output", str(output), "--open", "no"])
    assert result.exit_code == 0
    assert result.stdout == f"{output}\n"
    assert not (run_dir / "report.html").exists()
    assert output.read_bytes() == write_report(run_dir).read_bytes()


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run_dir = write_run(tmp_path / "run", recommendation([]), [])
    with pytest.raises(OutputError):
        write_report(run_dir, tmp_path / "file" / "report.html")


def test_the_commands_help_is_its_summary() -> None:
    assert report_command.get_short_help_str(limit=200) == SUMMARIES["report"]
