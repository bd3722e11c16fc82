"""Instance types that are one machine here, by price over projected speed; pure.

What the types really do was not measured, so their order is a projection, with its error: speed goes by the
family's CoreMark for each vCPU (the median over its sizes, since single rows are off by up to a fifth), and
CoreMark is a whole-number benchmark, which stands for inference only roughly. The projection decides between
two types where their difference is more than twice its standard error; else they are not told apart.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modeldyno.base.records.comparison import SameMachine
from modeldyno.base.records.run import InstanceType
from modeldyno.trials.catalog.cost import hourly

COREMARK_ERROR = 0.15
"""Standard deviation of the logarithm: what a ratio of CoreMarks may be off as one of inferences. Assumed."""
UNKNOWN_ERROR = 0.4
"""The same where a family has no CoreMark at all."""
SURE = 1.96
FEWEST_SIZES = 3
FEW_SIZES_ERROR = 0.05


@dataclass(frozen=True)
class Speed:
    """Of one vCPU of a family, against others of the catalogue."""

    log: float
    error: float


def family_speeds(catalog: Iterable[InstanceType]) -> dict[str, Speed]:
    """The speed of one vCPU of each family with a CoreMark."""
    rows = dict[str, list[float]]()
    for each in catalog:
        if each.coremark_per_s:
            rows.setdefault(each.family, []).append(math.log(each.coremark_per_s / each.vcpus))
    return {family: _speed(logs) for family, logs in rows.items()}


def ordered(instances: Sequence[InstanceType], speeds: Mapping[str, Speed]) -> tuple[InstanceType, ...]:
    """The best first, by price over projected speed; then by name."""
    return tuple(sorted(instances, key=lambda each: (_cost(each, speeds)[0], each.instance_type)))


def same_machine(
    shape: str, instances: Sequence[InstanceType], measured: str, speeds: Mapping[str, Speed]
) -> SameMachine:
    """What the page says of types that are one machine here."""
    order = ordered(instances, speeds)
    names = tuple(each.instance_type for each in order)
    (first, first_error), (second, second_error) = (_cost(each, speeds) for each in order[:2])
    gap, error = second - first, math.hypot(first_error, second_error)
    decided = gap > SURE * error
    told = (
        f"{names[0]} is projected to be {math.expm1(gap):.0%} cheaper than {names[1]}"
        if decided
        else f"which of them is cheapest is not told: {names[0]} and {names[1]} are projected to differ by "
        f"{abs(math.expm1(gap)):.0%}, give or take {math.expm1(SURE * error):.0%}"
    )
    text = (
        f"{', '.join(names)} are one machine here ({shape}): measured once, and ordered by price over the "
        f"CoreMark of their family for each vCPU; {told}"
    )
    return SameMachine(name=shape, instance_types=names, measured_as=measured, decided=decided, text=text)


def _cost(instance: InstanceType, speeds: Mapping[str, Speed]) -> tuple[float, float]:
    """Logarithm of the price over the projected speed with all vCPUs busy, and its standard error."""
    usual = statistics.median(speed.log for speed in speeds.values()) if speeds else 0.0
    speed = speeds.get(instance.family, Speed(usual, UNKNOWN_ERROR))
    price = hourly(instance, instance.vcpus).usd(instance.usd_per_hour) or 1e-9
    held = hourly(instance, instance.vcpus).held_share
    return math.log(price / (held * instance.vcpus)) - speed.log, math.hypot(speed.error, COREMARK_ERROR)


def _speed(logs: Sequence[float]) -> Speed:
    spread = statistics.stdev(logs) if len(logs) >= FEWEST_SIZES else FEW_SIZES_ERROR
    return Speed(statistics.median(logs), spread)
