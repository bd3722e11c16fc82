"""What is chosen, and what would be at other prices, traffic and limits; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from modeldyno.base.records.money import Choice
from modeldyno.base.records.run import Limits, Trial
from modeldyno.recommender.money.demand import Demand
from modeldyno.recommender.money.fleet import Offer, fixed_fleet, fixed_usd, needed
from modeldyno.recommender.money.offers import latency_times, offers_under
from modeldyno.reports.text.digits import TIMES

STEP = 0.2
"""Of prices and limits in the table."""
TRAFFIC = (0.5, 2.0)
MOST_TYPES = 4
FURTHEST = 100.0
"""Times the traffic, up and down, within which a flip is looked for."""
MOST_STEPS = 400


def chosen(offers: Sequence[Offer], demand: Demand, factor: float = 1.0) -> Offer | None:
    """The cheapest with as many instances all month as the peak needs; of equals the first.

    `factor` is how many times the traffic there is.
    """
    return min(offers, key=lambda each: fixed_usd(each, demand, factor), default=None)


def answer_text(offer: Offer | None, demand: Demand) -> str:
    """`3 x c7a.large compiled, $201.48 a month`."""
    if offer is None:
        return "nothing that was measured meets the limits"
    found = fixed_fleet(offer, demand)
    return f"{found.most} {TIMES} {offer.name}, ${found.usd_per_month:,.2f} a month"


def flip_table(
    offers: Sequence[Offer], demand: Demand, trials: Sequence[Trial], limits: Limits
) -> tuple[Choice, ...]:
    """What is chosen with one thing changed: a type's price, the traffic, the limits on latency."""
    best = chosen(offers, demand)
    return tuple(_flips(offers, demand, trials, limits, best.trial if best else None))


def _flips(
    offers: Sequence[Offer], demand: Demand, trials: Sequence[Trial], limits: Limits, best: str | None
) -> Iterator[Choice]:
    for name in _types(offers, demand):
        for factor in (1 - STEP, 1 + STEP):
            changed = [
                each.priced(factor) if each.instance.instance_type == name else each for each in offers
            ]
            yield _choice(f"price of {name} {factor - 1:+.0%}", chosen(changed, demand), demand, best)
    for factor in TRAFFIC:
        more = demand.times(factor)
        yield _choice(f"traffic {TIMES} {factor:g}", chosen(offers, more), more, best)
    if limits.latency_ms:
        for factor in (1 - STEP, 1 + STEP):
            found = offers_under(latency_times(limits, factor), trials)
            what = f"limits on latency {factor - 1:+.0%}, by the load tests at hand"
            yield _choice(what, chosen(found, demand), demand, best)


def _types(offers: Sequence[Offer], demand: Demand) -> list[str]:
    """The types of the cheapest offers, each once."""
    by_cost = sorted(offers, key=lambda each: fixed_usd(each, demand))
    return list(dict.fromkeys(each.instance.instance_type for each in by_cost))[:MOST_TYPES]


def _choice(what: str, found: Offer | None, demand: Demand, best: str | None) -> Choice:
    trial = found.trial if found else None
    return Choice(what=what, trial=trial, text=answer_text(found, demand), changed=trial != best)


class FlipLoads(NamedTuple):
    """Peak requests a second at which another candidate becomes the cheapest; None: not within 100 times."""

    below_rps: float | None
    above_rps: float | None


def flip_loads(offers: Sequence[Offer], demand: Demand) -> FlipLoads:
    """Look at each load where some candidate needs one instance more or less, outwards from this traffic.

    Between these loads the numbers of instances, and so the prices, stay as they are (but for surplus CPU).
    """
    best = chosen(offers, demand)
    if best is None:
        return FlipLoads(None, None)
    steps = sorted({step for offer in offers for step in _steps(offer, demand)})
    up = next((f for f in steps if f > 1 and _other(offers, demand, f * (1 + 1e-6), best)), None)
    down = next((f for f in reversed(steps) if f <= 1 and _other(offers, demand, f, best)), None)
    return FlipLoads(*(None if f is None else f * demand.peak_rps for f in (down, up)))


def _steps(offer: Offer, demand: Demand) -> Iterator[float]:
    """Factors on the traffic at which so many instances are just enough."""
    one = offer.capacity_rps / (demand.peak_rps * (1 + demand.headroom))
    now = needed(demand.peak_rps, offer, demand)
    ratio = FURTHEST ** (1 / MOST_STEPS)
    counts = {max(1, now + near) for near in range(-20, 21)}
    counts |= {max(1, math.ceil(now * ratio**exponent)) for exponent in range(-MOST_STEPS, MOST_STEPS + 1)}
    yield from (count * one for count in counts if 1 / FURTHEST <= count * one <= FURTHEST)


def _other(offers: Sequence[Offer], demand: Demand, factor: float, best: Offer) -> bool:
    found = chosen(offers, demand, factor)
    return found is not None and found.trial != best.trial
