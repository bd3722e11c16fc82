"""Scaling policies for the answer's candidate, replayed over the traffic; deterministic by a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.money import Replay
from modeldyno.base.records.run import Limits, Trial
from modeldyno.base.scaling import Kubernetes, Policy, service_policy
from modeldyno.recommender.money.demand import MONTH_HOURS, Demand
from modeldyno.recommender.money.fleet import Offer, fixed_fleet, needed, surplus_usd_per_hour
from modeldyno.recommender.money.patterns import ASYNC_START_S
from modeldyno.recommender.money.replay import (
    MINUTE_S,
    Draw,
    Instances,
    constant,
    measured,
    perfect_counts,
    replay,
)

MOST_REQUESTS = 10_000_000
FEWEST_PERCENTILES = 2


class _Way(NamedTuple):
    """A policy where it runs."""

    name: str
    policy: Policy
    start_s: float
    delay_s: float
    every_s: float
    assumed: tuple[str, ...]


def replays(offer: Offer, trial: Trial, limits: Limits, demand: Demand) -> tuple[Replay, ...]:
    """Replay target tracking (SageMaker) and Kubernetes; nothing without a limit on latency.

    The span of the traffic is replayed once, with the minutes' rates, and a month is taken to repeat it.
    """
    limit = max(limits.latency_ms.items(), default=None)
    requests = sum(demand.minutes_rps) * MINUTE_S
    if limit is None or requests > MOST_REQUESTS:
        return ()
    point = _alone(trial)
    if point is None:
        return ()
    lanes = trial.candidate.settings.workers * trial.candidate.settings.processes
    draw = _service(point, lanes, offer.capacity_rps)
    percentile, limit_ms = limit
    return tuple(
        _replayed(
            way,
            offer,
            Instances(lanes, draw, way.start_s, limit_ms / 1000),
            percentile=percentile,
            demand=demand,
        )
        for way in _ways(offer, trial, demand)
    )


def not_replayed(limits: Limits, demand: Demand) -> str | None:
    """Why there is no replay, if that is not for want of a limit."""
    requests = sum(demand.minutes_rps) * MINUTE_S
    if not limits.latency_ms or requests <= MOST_REQUESTS:
        return None
    return (
        f"scaling was not replayed: the traffic has {requests:.3g} requests, at most {MOST_REQUESTS:.0e} are"
    )


def _ways(offer: Offer, trial: Trial, demand: Demand) -> Iterator[_Way]:
    """Target: what an instance serves under the limits, less the headroom, in requests a minute."""
    target = offer.capacity_rps * 60 / (1 + demand.headroom)
    least, most = 1 + demand.spare, 2 * fixed_fleet(offer, demand).most
    start_s = trial.startup_s or 0.0
    yield _Way(
        f"SageMaker target tracking of {target:.0f} invocations a minute per instance, {least} to {most}",
        service_policy(target, least, most),
        ASYNC_START_S + start_s,
        120.0,
        MINUTE_S,
        (
            "a datapoint is seen 120 s late (2 to 3 minutes in public logs)",
            f"an instance takes {ASYNC_START_S:.0f} s beside the server's start-up, as one public log has it",
        ),
    )
    yield _Way(
        f"Kubernetes HPA at {target:.0f} requests a minute per pod, {least} to {most}",
        Kubernetes(target, least, most),
        start_s,
        30.0,
        15.0,
        ("a node is there for each pod", "a datapoint is seen 30 s late"),
    )


def _replayed(way: _Way, offer: Offer, instances: Instances, *, percentile: float, demand: Demand) -> Replay:
    begin = needed(demand.peaks_rps[0], offer, demand) + demand.spare
    found = replay(
        demand.minutes_rps,
        instances,
        way.policy,
        begin=begin,
        metric_delay_s=way.delay_s,
        every_s=way.every_s,
    )
    perfect = perfect_counts(demand.minutes_rps, offer.capacity_rps)
    usd = _month(offer, demand, found.counts)
    best = _month(offer, demand, perfect)
    allowed = 1 - percentile / 100
    judged = "within" if found.late_share <= allowed else "more than"
    late = f"{found.late_share:.2%} of requests over {instances.limit_s * 1000:g} ms"
    return Replay(
        policy=way.name,
        late_share=found.late_share,
        usd_per_month=usd,
        most=found.most,
        actions=found.actions,
        perfect_usd_per_month=best,
        perfect_most=max(perfect),
        text=f"{way.name}: {late} ({judged} the {allowed:.2%} that p{percentile:g} allows), ${usd:,.2f} a "
        f"month; a scaler that knows the future: ${best:,.2f}",
        assumed=(*way.assumed, "requests arrive as a Poisson process within each minute"),
    )


def _month(offer: Offer, demand: Demand, counts: Sequence[int]) -> float:
    mean = sum(counts) / len(counts)
    per_hour = mean * offer.instance.usd_per_hour + surplus_usd_per_hour(offer, demand.mean_rps, mean)
    return MONTH_HOURS * per_hour


def _alone(trial: Trial) -> LoadResult | None:
    """The load test in which requests waited least: nearest to the service time alone."""
    valid = [point for point in trial.points if point.valid and point.percentile_ms(50.0) is not None]
    return min(valid, key=lambda point: point.percentile_ms(50.0) or 0.0, default=None)


def _service(point: LoadResult, lanes: int, capacity_rps: float) -> Draw:
    """Times by the percentiles that were measured, no longer than the measured capacity allows.

    Between two percentiles the higher one is taken. What waited in the measurement is in these times; where
    lanes / mean is less than the capacity, all are scaled down to it.
    """
    known = [(each.percentile / 100, each.ms / 1000) for each in point.percentiles if each.ms is not None]
    seconds = [time for _, time in known]
    shares = [after - before for (before, _), (after, _) in zip([(0.0, 0.0), *known], known, strict=False)]
    mean = sum(time * share for time, share in zip(seconds, shares, strict=True)) / sum(shares)
    scale = min(1.0, lanes / capacity_rps / mean)
    if len(known) < FEWEST_PERCENTILES:
        return constant(scale * mean)
    return measured([scale * time for time in seconds], shares)
