"""Two instance types together: some of one all the time, some of another by the hour; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

from modeldyno.recommender.money.demand import MONTH_HOURS, Demand
from modeldyno.recommender.money.fleet import ROUNDING, Offer, scaled_fleet, surplus_usd_per_hour

LEAST_SAVING = 0.05
EVERY_COUNT = 200
MOST_OFFERS = 12
"""Of more, the cheapest by price over capacity: others are in no best pair but by a rounding."""


class Pair(NamedTuple):
    """So many of `base` all the time, so many of `peak` in each hour."""

    base: Offer
    base_count: int
    peak: Offer
    peak_counts: tuple[int, ...]
    usd_per_month: float


def best_mix(offers: Sequence[Offer], demand: Demand, saving: float = LEAST_SAVING) -> Pair | None:
    """The cheapest pair; None where it saves less than `saving` of the best single type by the hour.

    In each hour base * capacity + peak * capacity >= rate * (1 + headroom). The spare instances are of the
    type that serves more, so that any one may fail, and run all the time.
    """
    if len(offers) < 2:
        return None
    single = min(scaled_fleet(offer, demand).usd_per_month for offer in offers)
    best = min(pairs(_short(offers), demand), key=lambda pair: pair.usd_per_month, default=None)
    return best if best and best.usd_per_month <= (1 - saving) * single else None


def pairs(offers: Sequence[Offer], demand: Demand) -> Iterator[Pair]:
    """The cheapest of each ordered pair of types, for each number of the base."""
    for base, peak in permutations(offers, 2):
        most = math.ceil(demand.peak_rps * (1 + demand.headroom) / base.capacity_rps)
        for count in _counts(most, base, demand):
            counts = tuple(_rest(rate, base, count, peak, demand) for rate in demand.peaks_rps)
            if any(counts):
                yield Pair(base, count, peak, counts, pair_usd(base, count, peak, counts, demand))


def _counts(most: int, base: Offer, demand: Demand) -> Sequence[int]:
    """Numbers of the base to try: all, or where there are many those that just serve, or not, some hour."""
    if most <= EVERY_COUNT:
        return range(1, most + 1)
    full = {math.floor(rate * (1 + demand.headroom) / base.capacity_rps) for rate in demand.peaks_rps}
    near = {each + more for each in full for more in (0, 1)}
    return sorted(each for each in near if 1 <= each <= most)[-EVERY_COUNT:]


def pair_usd(base: Offer, count: int, peak: Offer, counts: Sequence[int], demand: Demand) -> float:
    """Dollars a month of a pair with its spare instances; burstable ones share the load by capacity."""
    mean = sum(counts) / len(counts)
    spare_of_base = base.capacity_rps >= peak.capacity_rps
    of_base = count + (demand.spare if spare_of_base else 0)
    of_peak = mean + (0 if spare_of_base else demand.spare)
    whole = of_base * base.capacity_rps + of_peak * peak.capacity_rps
    usd = 0.0
    for offer, instances in ((base, float(of_base)), (peak, of_peak)):
        served_rps = demand.mean_rps * instances * offer.capacity_rps / whole
        usd += instances * offer.instance.usd_per_hour + surplus_usd_per_hour(offer, served_rps, instances)
    return MONTH_HOURS * usd


def _rest(rate_rps: float, base: Offer, count: int, peak: Offer, demand: Demand) -> int:
    """Instances of the peak type that an hour needs beside the base."""
    need = rate_rps * (1 + demand.headroom)
    rest = need - count * base.capacity_rps
    return max(0, math.ceil((rest - need * ROUNDING) / peak.capacity_rps))


def _short(offers: Sequence[Offer]) -> list[Offer]:
    by_price = sorted(offers, key=lambda each: each.instance.usd_per_hour / each.capacity_rps)
    return by_price[:MOST_OFFERS]
