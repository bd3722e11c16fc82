"""Measured candidates as offers: what one instance serves under the limits; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from modeldyno.base.records.run import Limits, Row, Trial
from modeldyno.recommender.money.fleet import Offer
from modeldyno.recommender.rank.misses import misses
from modeldyno.recommender.rank.paid import as_sustained, cores_used

PERCENTILE_FIELDS = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms")


def offers_of(ranking: Iterable[Row], trials: Sequence[Trial]) -> tuple[Offer, ...]:
    """What the valid rows of a ranking offer, in their order."""
    by_key = {trial.candidate.key: trial for trial in trials}
    return tuple(_offers(ranking, by_key))


def _offers(ranking: Iterable[Row], trials: Mapping[str, Trial]) -> Iterator[Offer]:
    for row in ranking:
        trial = trials.get(row.trial)
        if trial is None or not row.valid or not row.throughput_rps:
            continue
        cores = None if row.cpu_utilization is None else row.cpu_utilization * trial.instance.vcpus
        measured_rps = row.throughput_rps / row.held_share
        yield Offer(
            row.trial,
            trial.instance,
            row.backend,
            row.throughput_rps,
            None if cores is None else cores / measured_rps,
        )


def offers_under(limits: Limits, trials: Iterable[Trial]) -> tuple[Offer, ...]:
    """What the load tests at hand offer under other limits: of each candidate the fastest that meets them.

    Nothing is measured anew, so a limit that is looser finds only what was tried beyond the old one.
    """
    return tuple(_under(limits, trials))


def _under(limits: Limits, trials: Iterable[Trial]) -> Iterator[Offer]:
    for trial in map(as_sustained, trials):
        meeting = [point for point in trial.points if point.valid and not list(misses(point, trial, limits))]
        if not meeting:
            continue
        best = max(meeting, key=lambda point: point.throughput_rps.value)
        cores, rate = cores_used(best), best.throughput_rps.value
        per_rps = None if cores is None or trial.instance.credit_mode == "standard" else cores / rate
        yield Offer(trial.candidate.key, trial.instance, trial.candidate.backend, rate, per_rps)


def latency_times(limits: Limits, factor: float) -> Limits:
    """The same limits with those of latency times `factor`."""
    changed = {
        name: factor * value for name in PERCENTILE_FIELDS if (value := getattr(limits, name)) is not None
    }
    return limits.model_copy(update=changed)
