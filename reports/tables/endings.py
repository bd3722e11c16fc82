"""The rows of the page's error table: how the requests of each load test with failures ended."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.base.records.load import LoadResult, Outcome
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import tags
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import plain, share


@dataclass(frozen=True)
class Ending:
    """Requests of one load test that ended alike."""

    tag: str
    name: str
    load: str
    endpoint: str
    outcome: str
    count: str
    share: str
    p50: str
    p99: str
    longest: str


def endings(run: Run) -> tuple[Ending, ...]:
    """Word every way in which requests ended, for the load tests in which some failed."""
    return tuple(
        _ending(tag, phrases.configuration(row), point, one)
        for tag, row in tags(run)
        for point in run.points(row)
        if point.errors
        for one in point.outcomes
    )


def _ending(tag: str, name: str, point: LoadResult, one: Outcome) -> Ending:
    total = sum(each.count for each in point.outcomes)
    return Ending(
        tag=tag,
        name=name,
        load=phrases.load(point.spec.users, point.spec.rate_rps),
        endpoint=phrases.log_text(one.endpoint),
        outcome=phrases.log_text(one.outcome),
        count=f"{one.count:,}",
        share=share(one.count / total),
        p50=plain(one.latency.p50_ms),
        p99=plain(one.latency.p99_ms),
        longest=plain(one.latency.max_ms),
    )
