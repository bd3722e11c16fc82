"""How many instances of one type a month needs, and what they cost; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modeldyno.base.records.money import FleetCost
from modeldyno.base.records.run import InstanceType
from modeldyno.recommender.money.demand import MONTH_HOURS, Demand

ROUNDING = 1e-9
"""Relative: 30.000000000000004 instances are 30."""


@dataclass(frozen=True)
class Offer:
    """A measured candidate: what one instance serves under the limits, and what it costs."""

    trial: str
    instance: InstanceType
    backend: str
    capacity_rps: float
    cores_per_rps: float | None = None
    """CPU that a request a second takes; None where nobody measured it."""

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return f"{self.instance.instance_type} {self.backend}"

    def priced(self, factor: float) -> Offer:
        """At so many times its list price."""
        price = {"usd_per_hour": factor * self.instance.usd_per_hour}
        return replace(self, instance=self.instance.model_copy(update=price))


def needed(rate_rps: float, offer: Offer, demand: Demand) -> int:
    """Instances that serve `rate_rps` with the headroom, without spare ones: at least one.

    n = ceil(rate * (1 + headroom) / capacity)
    """
    load = rate_rps * (1 + demand.headroom) / offer.capacity_rps
    return max(1, math.ceil(load * (1 - ROUNDING)))


def fixed_fleet(offer: Offer, demand: Demand) -> FleetCost:
    """As many all the time as the busiest hour needs, and the spare ones."""
    count = needed(demand.peak_rps, offer, demand) + demand.spare
    return fleet_cost(offer, demand, [count] * len(demand.peaks_rps))


def fixed_usd(offer: Offer, demand: Demand, factor: float = 1.0) -> float:
    """Dollars a month of `fixed_fleet` at `factor` times the traffic, and nothing else of it."""
    count = needed(factor * demand.peak_rps, offer, demand) + demand.spare
    surplus = surplus_usd_per_hour(offer, factor * demand.mean_rps, count)
    return MONTH_HOURS * (count * offer.instance.usd_per_hour + surplus)


def scaled_fleet(offer: Offer, demand: Demand) -> FleetCost:
    """As many in each hour as it needs, and the spare ones: a scaler that knows the next hour."""
    counts = [needed(rate, offer, demand) + demand.spare for rate in demand.peaks_rps]
    return fleet_cost(offer, demand, counts)


def fleet_cost(offer: Offer, demand: Demand, counts: Sequence[int]) -> FleetCost:
    """Price so many instances in each hour of the traffic, over a month of 730 hours.

    month = 730 h * mean(instances) * price + surplus, with the surplus of `surplus_usd_per_hour`.
    """
    mean = sum(counts) / len(counts)
    surplus = MONTH_HOURS * surplus_usd_per_hour(offer, demand.mean_rps, mean)
    usd = MONTH_HOURS * mean * offer.instance.usd_per_hour + surplus
    return FleetCost(
        most=max(counts),
        least=min(counts),
        mean=mean,
        usd_per_month=usd,
        surplus_usd_per_month=surplus,
        usd_per_million=usd / demand.requests_per_month * 1e6,
        idle_share=max(0.0, 1 - demand.mean_rps / (mean * offer.capacity_rps)),
    )


def surplus_usd_per_hour(offer: Offer, mean_rps: float, instances: float) -> float:
    """What burstable instances cost above their baseline: mean CPU over the traffic, evenly shared.

    max(0, mean rate * cores per request/s - instances * baseline cores) * surplus price. A type in standard
    mode has none: its capacity is what the baseline sustains.
    """
    baseline = offer.instance.baseline_cores
    if baseline is None or offer.cores_per_rps is None or offer.instance.credit_mode == "standard":
        return 0.0
    busy = mean_rps * offer.cores_per_rps
    return max(0.0, busy - instances * baseline) * (offer.instance.surplus_usd_per_vcpu_hour or 0.0)
