"""What each chart shows, in words, for who can't see it; the tables have all numbers."""

from __future__ import annotations

from collections.abc import Sequence

from modeldyno.base.records.load import LoadResult
from modeldyno.reports.charts.histogram import quantiles
from modeldyno.reports.results.series import Bar, Series
from modeldyno.reports.text.digits import plain

MOST_NAMED = 10
LONGEST_NAME = 60


def of_levels(series: Sequence[Series], percentile: float) -> str:
    """At what throughput each candidate has which latency, where it is ranked."""
    return _listed(
        [
            f"{_name(one)}: {plain(one.level.throughput_rps.value)} requests a second at "
            f"{plain(one.level.percentile_ms(percentile))} ms"
            for one in series
            if one.level.percentile_ms(percentile) is not None
        ]
    )


def of_costs(bars: Sequence[Bar]) -> str:
    """What each costs, in the order of the drawing."""
    return _listed([f"{bar.label[:LONGEST_NAME]}: {bar.text}" for bar in bars])


def of_time(one: Series) -> str:
    """How far the p99 of a second swings, and how many seconds had errors."""
    points = [point for point in one.level.timeline if not point.warmup]
    values = [point.p99_ms for point in points if point.p99_ms is not None]
    errors = sum(1 for point in points if point.errors)
    wrong = f"; {errors} of {len(points)} seconds with errors" if errors else "; no errors"
    if not values:
        return f"{_name(one)}: no second after the warm-up with an answer{wrong}."
    return f"{_name(one)}: p99 of a second from {plain(min(values))} to {plain(max(values))} ms{wrong}."


def of_percentiles(series: Sequence[Series]) -> str:
    """How slow the median and the slowest requests of each candidate are."""
    return _listed([f"{_name(one)}: {_tail(one.level)}" for one in series if quantiles(one.level)])


def _tail(level: LoadResult) -> str:
    share, slowest = quantiles(level)[-1]
    half = next(ms for part, ms in quantiles(level) if part >= min(0.5, share))
    return f"half within {plain(half)} ms, {100 * share:.4g} % within {plain(slowest)} ms"


def _name(one: Series) -> str:
    return f"{one.tag} {one.name[:LONGEST_NAME]}"


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_NAMED
    rest = [f"and {more} more"] if more > 0 else []
    return f"{'; '.join([*texts[:MOST_NAMED], *rest])}."
