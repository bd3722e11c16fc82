"""MLPerf Inference's four scenarios and the early-stopping rule of its LoadGen; pure.

The rule (MLPerf Inference Rules, "Early Stopping Criterion"; loadgen/early_stopping.cc and results.cc of
mlcommons/inference), with percentile p and confidence c = 0.99: a test of n queries, t of them over the
latency, shows that the share of such queries is under 1 - p when P(B <= t) < 1 - c, B binomial (n, 1 - p). In
LoadGen's words: at least h queries are within the latency, h the least number with P(B <= t) < 1 - c for
n = h + t. In the scenarios without a latency bound it is turned around: of n queries the t - 1 slowest are
discarded, t as large as the rule allows, and the slowest of the rest is the estimate.

A query that failed has no latency in LoadGen; here it counts as one over every latency.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load import Scenario
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.stats.recording import US_PER_S, Ints, Recording

CONFIDENCE = 0.99
MIN_DURATION_S = 600.0
MIN_OFFLINE_SAMPLES = 24_576
SAMPLES_PER_QUERY = 8
OFFLINE_USERS = 64
SINGLE_STREAM, MULTI_STREAM, SERVER, OFFLINE = "SingleStream", "MultiStream", "Server", "Offline"
SCENARIOS = (SINGLE_STREAM, MULTI_STREAM, SERVER, OFFLINE)
PERCENTILES = {SINGLE_STREAM: 0.90, MULTI_STREAM: 0.99, SERVER: 0.99}
DEVIATIONS = 40
EARLY_STOPPING_SHARE = 4
"""Of a search: times the queries that are needed without one over the latency; enough to allow for 8."""


@dataclass(frozen=True)
class Queries:
    """The queries of the window."""

    latency_us: Ints
    """Of those that were answered, in rising order."""
    failed: int
    window_s: float
    last_end_s: float
    """From the window's start to the end of the last answer."""

    @property
    def number(self) -> int:
        """All queries."""
        return len(self.latency_us) + self.failed


def chance(queries: int, over: int, percentile: float) -> float:
    """P(B <= over), B binomial (queries, 1 - percentile): to see so few when the share is 1 - percentile.

    >>> round(chance(2, 1, 0.9), 12)
    0.99
    """
    if over >= queries:
        return 1.0
    # All but 1e-300 of the sum is near the mode, or near the last term where that is before it.
    mode = int(queries * (1 - percentile))
    reach = int(DEVIATIONS * (math.sqrt(queries * percentile * (1 - percentile)) + 1))
    first, over = max(0, min(over, mode) - reach), min(over, mode + reach)
    # Each term from the one above it, in logarithms: C(n, x - 1) / C(n, x) = x / (n - x + 1).
    counts = np.arange(over, first, -1, dtype=np.float64)
    steps = np.log(counts / (queries - counts + 1)) + math.log(percentile / (1 - percentile))
    top = (
        math.lgamma(queries + 1)
        - math.lgamma(over + 1)
        - math.lgamma(queries - over + 1)
        + over * math.log(1 - percentile)
        + (queries - over) * math.log(percentile)
    )
    logs = top + np.concatenate(([0.0], np.cumsum(steps)))
    highest = float(logs.max())
    return min(1.0, math.exp(highest) * float(np.exp(logs - highest).sum()))


def within_needed(over: int, percentile: float) -> int:
    """How many queries within the latency make up for `over` that are not: LoadGen's h.

    >>> [within_needed(0, percentile) for percentile in (0.9, 0.95, 0.99, 0.999)]
    [44, 90, 459, 4603]
    """
    expected = max(1, math.floor(over * percentile / (1 - percentile)))
    return _least(lambda within: chance(within + over, over, percentile) < 1 - CONFIDENCE, expected)


def most_over(queries: int, percentile: float) -> int | None:
    """How many of `queries` may be over the latency: LoadGen's t; None when not even one may.

    >>> [most_over(queries, 0.9) for queries in (63, 64)]
    [None, 1]
    """
    if chance(queries, 1, percentile) >= 1 - CONFIDENCE:
        return None
    return _least(lambda over: chance(queries, over, percentile) >= 1 - CONFIDENCE, 1) - 1


def estimate_us(found: Queries, percentile: float) -> tuple[int | None, int]:
    """Estimate the latency percentile by early stopping; give also how many queries it discards.

    None where there are too few, or where the slowest that is left failed.
    """
    over = most_over(found.number, percentile)
    if over is None:
        return None, 0
    rank = found.number - over
    return (int(found.latency_us[rank]) if rank < len(found.latency_us) else None), over - 1


def scenario_spec(spec: LoadSpec, name: str, *, bound_ms: float | None) -> LoadSpec:
    """Turn a load into that of a scenario.

    Raises:
        ConfigError: the load has what the scenario has not, or lacks what it needs.
    """
    if spec.staged or (spec.rate_rps is not None) != (name == SERVER):
        kind = "an open loop at `rate_rps`" if name == SERVER else "a closed loop without stages"
        raise ConfigError(f"the scenario {name} is {kind}")
    if name == SERVER and (bound_ms is None or spec.arrival != "poisson"):
        raise ConfigError(
            "the scenario Server needs Poisson arrivals and its latency bound",
            field="limits",
            hint="give it, e.g. `limits=p99_ms=15`",
        )
    if name != SERVER and bound_ms is not None:
        raise ConfigError(f"the scenario {name} has no latency bound")
    if name in (SINGLE_STREAM, MULTI_STREAM) and spec.users not in (None, 1):
        raise ConfigError(f"the scenario {name} sends one query at a time: no `users`", field="users")
    users = {SERVER: None, OFFLINE: spec.users or OFFLINE_USERS}.get(name, 1)
    samples = SAMPLES_PER_QUERY if name == MULTI_STREAM else 1
    update = {"scenario": name, "users": users, "samples_per_query": samples, "latency_bound_ms": bound_ms}
    return spec.model_copy(update=update)


def verdict(spec: LoadSpec, recording: Recording, window_s: float) -> Scenario | None:
    """Give the scenario's metric and say whether the rules are met; None for a load that is no scenario."""
    if spec.scenario is None:
        return None
    found = queries_of(spec, recording, window_s)
    if spec.scenario == SERVER:
        return _server(spec, found)
    return _offline(found) if spec.scenario == OFFLINE else _stream(spec.scenario, found)


def queries_of(spec: LoadSpec, recording: Recording, window_s: float) -> Queries:
    """Return the queries that started in the window."""
    first, end = (round(s * US_PER_S) for s in (spec.warmup_s, spec.warmup_s + window_s))
    inside = (recording.start_us >= first) & (recording.start_us < end)
    failed = (recording.failure_start_us >= first) & (recording.failure_start_us < end)
    ends = recording.start_us[inside] + recording.latency_us[inside]
    last_us = int(ends.max()) - first if len(ends) else 0
    latency_us = np.sort(recording.latency_us[inside])
    return Queries(latency_us, int(failed.sum()), window_s, last_us / US_PER_S)


def _stream(name: str, found: Queries) -> Scenario:
    percentile = PERCENTILES[name]
    estimate, discarded = estimate_us(found, percentile)
    needed = within_needed(1, percentile) + 1
    reasons = []
    if found.number < needed:
        reasons.append(f"early stopping needs {needed} queries, there were {found.number}")
    elif estimate is None:
        reasons.append(f"{found.failed} of {found.number} queries failed: more than the rule discards")
    what = "queries of 8 samples" if name == MULTI_STREAM else "queries"
    return Scenario(
        name=name,
        metric=f"{100 * percentile:g}th percentile latency of {what}, by early stopping",
        unit="ms",
        value=None if estimate is None else estimate / US_PER_MS,
        queries=found.number,
        needed_queries=needed,
        over_latency=None,
        discarded=discarded,
        duration_met=found.window_s >= MIN_DURATION_S,
        reasons=tuple(reasons),
    )


def _server(spec: LoadSpec, found: Queries) -> Scenario:
    bound_ms = spec.latency_bound_ms or 0.0
    over = int((found.latency_us > bound_ms * US_PER_MS).sum()) + found.failed
    needed = within_needed(over, PERCENTILES[SERVER]) + over
    reasons = []
    if found.number < needed:
        reasons.append(
            f"{over} of {found.number} queries took over {bound_ms:g} ms; early stopping needs {needed} "
            "queries with so many"
        )
    return Scenario(
        name=SERVER,
        metric=f"scheduled samples a second with a 99th percentile latency under {bound_ms:g} ms",
        unit="samples/s",
        value=found.number / found.window_s,
        queries=found.number,
        needed_queries=needed,
        over_latency=over,
        discarded=None,
        duration_met=found.window_s >= MIN_DURATION_S,
        reasons=tuple(reasons),
    )


def _offline(found: Queries) -> Scenario:
    reasons = []
    if len(found.latency_us) < MIN_OFFLINE_SAMPLES:
        reasons.append(f"{len(found.latency_us)} samples, the rules ask for {MIN_OFFLINE_SAMPLES}")
    if found.failed:
        reasons.append(f"{found.failed} samples failed")
    return Scenario(
        name=OFFLINE,
        metric="samples a second",
        unit="samples/s",
        value=len(found.latency_us) / found.last_end_s if found.last_end_s else None,
        queries=found.number,
        needed_queries=MIN_OFFLINE_SAMPLES,
        over_latency=None,
        discarded=None,
        duration_met=found.last_end_s >= MIN_DURATION_S,
        reasons=tuple(reasons),
    )


def _least(holds: Callable[[int], bool], start: int) -> int:
    """Find the least number from 1 on from which something holds; `start` is a guess that is not above it."""
    low, high = start - 1, start
    while not holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
