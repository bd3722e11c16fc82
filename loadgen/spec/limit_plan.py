"""Limits that a load test can't say anything of are refused before it: too few samples, too low a rate."""

from __future__ import annotations

import math
from collections.abc import Mapping

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.spec.bounds import MAX_SECONDS
from modeldyno.loadgen.spec.checks import long_enough
from modeldyno.loadgen.spec.limit_names import ERROR_RATE, THROUGHPUT
from modeldyno.loadgen.spec.stop_rules import parse_rules
from modeldyno.loadgen.stats.intervals import fewest_samples

KEPT_UP = 0.95  # of what arrived in the window: fewer answers in it mean that a queue grows


def check_limits(spec: LoadSpec, limits: Mapping[str, float]) -> None:
    """See that the requests that a load test is planned to send can state each limited number.

    Of a closed loop nobody knows beforehand how many they are, unless a stop rule counts them.

    Raises:
        ConfigError: they can't; says the duration that would do.
    """
    least_rps = limits.get(THROUGHPUT)
    if least_rps is not None and spec.rate_rps is not None and least_rps > spec.rate_rps:
        raise ConfigError(
            f"`limits` {THROUGHPUT}={least_rps:g}: {spec.rate_rps:g} requests/s arrive, so no more can be "
            "answered",
            field="limits",
            hint="raise `rate_rps`",
        )
    for name, limit in limits.items():
        needed = samples_for(name, limit, spec.rate_rps)
        _check_rule(spec, f"{name}={limit:g}", needed)
        _check_window(spec, f"{name}={limit:g}", needed)


def samples_for(name: str, limit: float, rate_rps: float | None) -> int:
    """How many requests can bound a number at this limit, when all of them are well within it."""
    if name == THROUGHPUT:
        return 1 if rate_rps is None else fewest_samples(share_needed(limit, rate_rps))
    if name == ERROR_RATE:
        return fewest_samples(1 - limit) if 0 < limit < 1 else 1
    return fewest_samples(float(name[1:-3]) / 100)


def share_needed(least_rps: float, rate_rps: float) -> float:
    """Share of the arrivals that must be answered in time for so many answers a second."""
    return min(least_rps / rate_rps, KEPT_UP)


def _check_rule(spec: LoadSpec, limit: str, needed: int) -> None:
    for rule in parse_rules(spec.stop_when):
        if rule.kind == "requests" and rule.bound < needed:
            raise ConfigError(
                f"`limits` {limit} needs {needed} requests to be decided, the stop rule {rule.text} ends the "
                "test before that",
                field="limits",
            )


def _check_window(spec: LoadSpec, limit: str, needed: int) -> None:
    if spec.rate_rps is None:
        return
    window_s = long_enough(spec).duration_s
    if spec.rate_rps * window_s >= needed:
        return
    # So much more than the mean that chance seldom leaves fewer.
    enough_s = math.ceil((needed + 3 * math.sqrt(needed)) / spec.rate_rps)
    too_long = spec.warmup_s + enough_s > MAX_SECONDS
    raise ConfigError(
        f"`limits` {limit} needs {needed} requests to be decided, {spec.rate_rps:g} requests/s for "
        f"{window_s:g} s are about {spec.rate_rps * window_s:.0f}",
        field="limits",
        hint="raise `rate_rps`" if too_long else f"give `duration_s={enough_s}`",
    )
