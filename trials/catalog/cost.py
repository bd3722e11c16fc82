"""What a million requests cost, with the interval that the throughput's interval leaves."""

from __future__ import annotations

from typing import NamedTuple

from modeldyno.base.records.record import Estimate
from modeldyno.base.records.run import InstanceType
from modeldyno.base.units import usd_per_million

_BURSTABLE = {"t3", "t3a", "t4g"}
_FLEX_SUFFIX = "-flex"


class Cost(NamedTuple):
    """USD per million requests; `high` is None (no bound) where the throughput's interval reaches zero."""

    usd_per_million: float
    low: float
    high: float | None


def cost_per_million(usd_per_hour: float, throughput_rps: Estimate) -> Cost:
    """Invert the throughput's 95 % interval: its upper end is the low end of the cost.

    The price is taken as exact, and the machine as busy all the time at this throughput.
    """
    bounded = throughput_rps.low > 0
    return Cost(
        usd_per_million(usd_per_hour, throughput_rps.value),
        usd_per_million(usd_per_hour, throughput_rps.high),
        usd_per_million(usd_per_hour, throughput_rps.low) if bounded else None,
    )


def price_caveat(instance: InstanceType) -> str | None:
    """Say what the hourly price does not pay for under a steady load; None where it pays for all vCPUs."""
    family = instance.family.removeprefix("ml.")
    if family in _BURSTABLE:
        return (
            f"{instance.instance_type} is burstable: its price pays for a fraction of its vCPUs; "
            "under a steady load it is throttled, or the extra is billed"
        )
    if family.endswith(_FLEX_SUFFIX):
        return f"{instance.instance_type} gives its full CPU most of the time, not all the time"
    return None
