"""Which pattern serves the traffic: real-time, serverless, provisioned, asynchronous, batch, Lambda; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modeldyno.base.records.money import Pattern, PatternName
from modeldyno.base.records.run import Trial
from modeldyno.base.units import SECONDS_PER_HOUR
from modeldyno.recommender.money.demand import MONTH_HOURS, SECONDS_PER_MONTH, Demand
from modeldyno.recommender.money.fleet import Offer, fixed_fleet, fleet_cost
from modeldyno.recommender.money.lambda_prices import (
    LAMBDA_MB,
    LAMBDA_TIERS,
    LAMBDA_USD_PER_REQUEST,
    MB_PER_GB,
    MB_PER_VCPU,
    SERVERLESS_GB,
    SERVERLESS_USD_PER_GB_S,
    tiered_usd,
)

KEPT_S = (60.0, 300.0, 900.0)
"""How long an idle sandbox is kept: AWS does not publish it, so three are shown."""
ASYNC_START_S = 420.0
"""From an alarm to capacity of an asynchronous endpoint: one public log, 02:28:13 to 02:35:19."""
BATCHES_PER_DAY = 1.0


@dataclass(frozen=True)
class Served:
    """What a pattern needs to know of the model beside the offer."""

    inference_s: float
    """Of one request alone, on the offer's vCPUs."""
    start_s: float
    """Process start to ready, and the first inference: a cold start without the provider's share."""
    memory_mib: float | None = None
    provisioned_usd_per_gb_s: float | None = None
    """Price of provisioned concurrency while it is enabled: no public source, so the user's."""
    provisioned_run_usd_per_gb_s: float | None = None
    """Price of a GB-second that runs on it."""


def patterns(offer: Offer, served: Served, demand: Demand) -> tuple[Pattern, ...]:
    """Price each pattern for a month of the traffic."""
    return (
        _real_time(offer, demand),
        _serverless(offer, served, demand),
        _provisioned(offer, served, demand),
        _asynchronous(offer, served, demand),
        _batch(offer, served, demand),
        *_lambdas(offer, served, demand),
    )


def serverless_usd(requests: float, gb: float, seconds: float) -> float:
    """GB-seconds, billed by the started millisecond; there is no price per request."""
    return requests * gb * billed_s(seconds) * SERVERLESS_USD_PER_GB_S


def lambda_usd(name: str, requests: float, gb: float, seconds: float) -> float:
    """Requests, and GB-seconds by tier. `name` is one of LAMBDA_TIERS."""
    gb_s = requests * gb * billed_s(seconds)
    return requests * LAMBDA_USD_PER_REQUEST + tiered_usd(gb_s, LAMBDA_TIERS[name])


def provisioned_usd(
    requests: float, gb: float, seconds: float, enabled: float, prices: tuple[float, float]
) -> float:
    """`enabled` sandboxes all month at the first price, what runs on them at the second; USD a GB-s."""
    return (enabled * gb * SECONDS_PER_MONTH * prices[0]) + requests * gb * billed_s(seconds) * prices[1]


def crossover_rps(
    usd_per_hour: float, gb: float, seconds: float, usd_per_gb_s: float, each: float = 0.0
) -> float:
    """Steady requests a second at which GB-seconds cost what an instance does.

    usd_per_hour / (3600 * (GB * seconds * price + price per request))
    """
    return usd_per_hour / (SECONDS_PER_HOUR * (gb * billed_s(seconds) * usd_per_gb_s + each))


def billed_s(seconds: float) -> float:
    """Seconds that are billed: the next whole millisecond."""
    return math.ceil(seconds * 1000 - 1e-9) / 1000


def cold_shares(rate_rps: float) -> tuple[float, ...]:
    """Share of requests that find no sandbox: one lane, Poisson arrivals, kept for each of KEPT_S.

    exp(-rate * kept)
    """
    return tuple(math.exp(-rate_rps * kept) for kept in KEPT_S)


def erlangs(rate_rps: float, seconds: float) -> int:
    """Sandboxes that are busy at once on average and in most moments: R + 2 sqrt(R), at least one.

    Source: Halfin and Whitt, square-root staffing; 2.7 % of requests wait with 2.
    """
    load = rate_rps * seconds
    return max(1, math.ceil(load + 2 * math.sqrt(load)))


def _made(
    pattern: PatternName, usd: float | None, demand: Demand, text: str, assumed: Sequence[str], **more: object
) -> Pattern:
    per_million = None if usd is None else usd / demand.requests_per_month * 1e6
    return Pattern.model_validate(
        {
            "pattern": pattern,
            "usd_per_month": usd,
            "usd_per_million": per_million,
            "text": text,
            "assumed": tuple(assumed),
            **more,
        }
    )


def _real_time(offer: Offer, demand: Demand) -> Pattern:
    found = fixed_fleet(offer, demand)
    text = f"{found.most} instances of {offer.name} all the time"
    return _made("real-time", found.usd_per_month, demand, text, ())


def _serverless(offer: Offer, served: Served, demand: Demand) -> Pattern:
    gb = _serverless_gb(offer, served)
    if gb is None:
        return _made(
            "serverless", None, demand, "the model needs more than the 6 GB that there are at most", ()
        )
    seconds = _serverless_s(offer, served, gb)
    usd = serverless_usd(demand.requests_per_month, gb, seconds)
    one = offer.instance.usd_per_hour
    return _made(
        "serverless",
        usd,
        demand,
        f"{gb:g} GB, {billed_s(seconds) * 1000:.0f} ms billed a request",
        (*_serverless_assumed(offer), _KEPT, _NO_DATA),
        crossover_rps=crossover_rps(one, gb, seconds, SERVERLESS_USD_PER_GB_S),
        cold_share=cold_shares(demand.mean_rps),
        added_latency_s=served.start_s,
    )


def _provisioned(offer: Offer, served: Served, demand: Demand) -> Pattern:
    gb, prices = (
        _serverless_gb(offer, served),
        (
            served.provisioned_usd_per_gb_s,
            served.provisioned_run_usd_per_gb_s,
        ),
    )
    if gb is None or prices[0] is None or prices[1] is None:
        text = "its prices have no public source: not priced without yours"
        return _made("provisioned concurrency", None, demand, text, ())
    count = erlangs(demand.peak_rps, served.inference_s)
    seconds = _serverless_s(offer, served, gb)
    usd = provisioned_usd(demand.requests_per_month, gb, seconds, count, (prices[0], prices[1]))
    text = f"{count} sandboxes of {gb:g} GB all the time"
    return _made("provisioned concurrency", usd, demand, text, (_STAFFED, *_serverless_assumed(offer)))


def _asynchronous(offer: Offer, served: Served, demand: Demand) -> Pattern:
    """Real-time without spare instances, down to none; each start adds the wait for it."""
    counts = [
        math.ceil(rate * (1 + demand.headroom) / offer.capacity_rps * (1 - 1e-9)) for rate in demand.peaks_rps
    ]
    starts = sum(max(0, later - now) for now, later in zip(counts, [*counts[1:], counts[0]], strict=True))
    per_hour = starts * (ASYNC_START_S + served.start_s) / SECONDS_PER_HOUR / len(counts)
    found = fleet_cost(offer, demand, counts)
    usd = found.usd_per_month + MONTH_HOURS * per_hour * offer.instance.usd_per_hour
    return _made(
        "asynchronous",
        usd,
        demand,
        f"{found.least} to {found.most} instances of {offer.name} by the hour, requests wait in a queue",
        ("an instance takes 420 s to start, as one public log has it", "starts are billed like hours"),
        added_latency_s=ASYNC_START_S + served.start_s,
    )


def _batch(offer: Offer, served: Served, demand: Demand) -> Pattern:
    """One job a day at full load: the month's requests over the capacity, and a start for each job."""
    hours = demand.requests_per_month / offer.capacity_rps / SECONDS_PER_HOUR
    jobs = MONTH_HOURS / 24 * BATCHES_PER_DAY
    hours += jobs * (ASYNC_START_S + served.start_s) / SECONDS_PER_HOUR
    busy = (offer.capacity_rps * (offer.cores_per_rps or 0.0)) - (offer.instance.baseline_cores or math.inf)
    surplus = 0.0
    if offer.instance.credit_mode != "standard":
        surplus = max(0.0, busy) * (offer.instance.surplus_usd_per_vcpu_hour or 0.0)
    usd = hours * (offer.instance.usd_per_hour + surplus)
    return _made(
        "batch",
        usd,
        demand,
        f"{hours:.1f} instance hours of {offer.name} a month, one job a day",
        ("a job a day", "a job's instance takes 420 s to start"),
        added_latency_s=24 * SECONDS_PER_HOUR / BATCHES_PER_DAY,
    )


def _lambdas(offer: Offer, served: Served, demand: Demand) -> Iterator[Pattern]:
    arm = offer.instance.architecture == "arm64"
    name: PatternName = "Lambda arm" if arm else "Lambda x86"
    mb = max(_for_cpu_mb(offer), served.memory_mib or 0.0, LAMBDA_MB[0])
    if mb > LAMBDA_MB[1]:
        yield _made(name, None, demand, f"{mb:.0f} MB would be needed, there are 10,240 at most", ())
        return
    gb = mb / MB_PER_GB
    first = LAMBDA_TIERS[name][0].usd_per_gb_s
    one = offer.instance.usd_per_hour
    yield _made(
        name,
        lambda_usd(name, demand.requests_per_month, gb, served.inference_s),
        demand,
        f"{mb:.0f} MB, {billed_s(served.inference_s) * 1000:.0f} ms billed a request",
        (_SAME_SPEED.format(name="Lambda", line="1,769 MB bring a vCPU"), _KEPT, _NO_DATA),
        crossover_rps=crossover_rps(one, gb, served.inference_s, first, LAMBDA_USD_PER_REQUEST),
        cold_share=cold_shares(demand.mean_rps),
        added_latency_s=served.start_s,
    )


_SAME_SPEED = "a vCPU of {name} is as fast as one of the measured type; {line}"
_KEPT = "an idle sandbox is kept 1, 5 or 15 minutes: AWS does not publish how long"
_NO_DATA = "data sent and received is not priced"
_STAFFED = "as many sandboxes as R + 2 sqrt(R), for R = peak rate * seconds"


def _for_cpu_mb(offer: Offer) -> float:
    return offer.instance.vcpus * MB_PER_VCPU


def _serverless_gb(offer: Offer, served: Served) -> float | None:
    """The smallest size with the memory, and as many vCPUs as it can have of the measured ones."""
    need = max(_for_cpu_mb(offer), served.memory_mib or 0.0) / MB_PER_GB
    if (served.memory_mib or 0.0) / MB_PER_GB > SERVERLESS_GB[-1]:
        return None
    return next((size for size in SERVERLESS_GB if size >= need), SERVERLESS_GB[-1])


def _serverless_s(offer: Offer, served: Served, gb: float) -> float:
    """Seconds of a request on so much memory: longer where that brings fewer vCPUs than were measured."""
    return served.inference_s * max(1.0, _for_cpu_mb(offer) / (gb * MB_PER_GB))


def _serverless_assumed(offer: Offer) -> tuple[str, ...]:
    same = _SAME_SPEED.format(name="SageMaker serverless", line="1,769 MB bring one, as on Lambda")
    if _for_cpu_mb(offer) <= SERVERLESS_GB[-1] * MB_PER_GB:
        return (same,)
    return (
        same,
        f"on fewer than the {offer.instance.vcpus} measured vCPUs a request takes longer in proportion",
    )


def served_of(trial: Trial) -> Served | None:
    """What a trial says: its shortest median, its start, its most memory; None where it has no median."""
    medians = [ms for point in trial.points if point.valid and (ms := point.percentile_ms(50.0)) is not None]
    if not medians:
        return None
    memory = [point.server.memory_mib_max for point in trial.points if point.server]
    return Served(min(medians) / 1000, trial.startup_s or 0.0, max(memory, default=None))
