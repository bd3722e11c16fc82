"""What an hour and a million requests cost, by the CPU that was used; pure."""

from __future__ import annotations

from typing import NamedTuple

from modeldyno.base.records.record import Estimate
from modeldyno.base.records.run import InstanceType
from modeldyno.base.units import usd_per_million

_BURSTABLE = {"t2", "t3", "t3a", "t4g"}
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


class Hourly(NamedTuple):
    """An hour of an instance type under a steady load."""

    surplus_usd: float
    """What the CPU above the baseline costs."""
    held_share: float
    """Share of the load that the type sustains: below 1 where it is held to its baseline."""

    def usd(self, list_usd: float) -> float:
        """The whole hour, of a type whose hour is listed at `list_usd`."""
        return list_usd + self.surplus_usd


AS_LISTED = Hourly(0.0, 1.0)


def hourly(instance: InstanceType, cores_used: float | None) -> Hourly:
    """Price an hour in which `cores_used` cores are busy all the time; None: nobody measured them.

    A burstable type earns credits for vcpus * baseline_share cores. In unlimited mode the rest costs
    surplus_usd_per_vcpu_hour; in standard mode there is no rest: the type is held to the baseline, and with
    it the throughput, by the same factor. Source: AWS EC2 user guide, burstable performance instances.
    """
    baseline = instance.baseline_cores
    if baseline is None or cores_used is None or cores_used <= baseline:
        return AS_LISTED
    if instance.credit_mode == "standard":
        return Hourly(0.0, baseline / cores_used)
    return Hourly((cores_used - baseline) * (instance.surplus_usd_per_vcpu_hour or 0.0), 1.0)


def burst_note(instance: InstanceType, cores_used: float | None) -> str | None:
    """Say what the measured CPU does to the price or the throughput of a burstable type."""
    baseline = instance.baseline_cores
    if baseline is None:
        return price_caveat(instance)
    if cores_used is None:
        return (
            f"{instance.instance_type} is burstable, and its CPU was not measured: it costs at least its "
            "list price"
        )
    found = hourly(instance, cores_used)
    if found == AS_LISTED:
        return None
    used = f"{instance.instance_type} used {cores_used:.3g} cores, its price pays for {baseline:.3g}"
    if found.held_share < 1:
        return (
            f"{used}: it is held to them once its credits are spent, so its throughput is "
            f"{found.held_share:.1%} of what was measured"
        )
    return (
        f"{used}: the surplus costs {found.surplus_usd:.4g} USD/h on top of {instance.usd_per_hour:g} USD/h"
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
