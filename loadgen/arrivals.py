"""When requests are due in an open loop: endless iterators of seconds from the start, in rising order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from dyno.errors import ConfigError


def arrivals(kind: str, rate_rps: float, seed: int) -> Iterator[float]:
    """Arrival times of the named kind; the same seed gives the same times.

    Raises:
        ConfigError: the kind is unknown, or the rate is not above 0.
    """
    if not rate_rps > 0:
        raise ConfigError(f"an arrival rate must be above 0 requests a second, got {rate_rps}")
    if kind == "constant":
        return constant_arrivals(rate_rps)
    if kind == "poisson":
        return poisson_arrivals(rate_rps, seed)
    raise ConfigError(f"unknown arrival process {kind!r}; there are: constant, poisson")


def constant_arrivals(rate_rps: float) -> Iterator[float]:
    """0, 1/rate, 2/rate, ...: each computed from its number, so that no rounding adds up."""
    return (number / rate_rps for number in itertools.count())


def poisson_arrivals(rate_rps: float, seed: int) -> Iterator[float]:
    """Arrivals with independent exponential gaps: many clients who know nothing of each other."""
    draw = random.Random(seed)  # noqa: S311 - a schedule that can be repeated, no secret
    due_s = 0.0
    while True:
        due_s += draw.expovariate(rate_rps)
        yield due_s
