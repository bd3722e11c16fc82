"""When requests are due in an open loop: iterators of seconds from the start, in rising order."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

from modeldyno.base.errors import ConfigError

KINDS = ("poisson", "constant", "gamma", "trace")


def arrivals(
    kind: str, rate_rps: float, seed: int, *, burstiness: float = 1.0, trace_s: Sequence[float] = ()
) -> Iterator[float]:
    """Arrival times of the named kind; the same seed gives the same times.

    `burstiness` is gamma's: the coefficient of variation of the gaps, squared. `trace_s` is trace's.

    Raises:
        ConfigError: the kind is unknown, or a number is one that the kind can't have.
    """
    if kind == "trace":
        return repeated(trace_s, rate_rps)
    if not 0 < rate_rps < math.inf:
        raise ConfigError(f"an arrival rate must be above 0 requests a second, got {rate_rps}")
    if kind == "constant":
        return constant_arrivals(rate_rps)
    if kind == "poisson":
        return poisson_arrivals(rate_rps, seed)
    if kind == "gamma":
        return gamma_arrivals(rate_rps, burstiness, seed)
    raise ConfigError(f"unknown arrival process {kind!r}; there are: {', '.join(KINDS)}")


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


def gamma_arrivals(rate_rps: float, burstiness: float, seed: int) -> Iterator[float]:
    """Arrivals with gamma gaps: above 1 they come in bursts, below 1 more evenly than Poisson's, which is 1.

    Raises:
        ConfigError: `burstiness` is not above 0.
    """
    if not 0 < burstiness < math.inf:
        raise ConfigError(f"burstiness must be above 0, got {burstiness}")
    return _gamma(rate_rps, burstiness, random.Random(seed))  # noqa: S311 - as above


def _gamma(rate_rps: float, burstiness: float, draw: random.Random) -> Iterator[float]:
    due_s = 0.0
    while True:
        # Shape k and scale s: mean k * s = 1 / rate, squared coefficient of variation 1 / k = burstiness.
        due_s += draw.gammavariate(1 / burstiness, burstiness / rate_rps)
        yield due_s


def repeated(trace_s: Sequence[float], rate_rps: float) -> Iterator[float]:
    """Recorded arrival times, from 0 on, again and again; each round follows the last after one mean gap.

    Times are stretched to `rate_rps`: a trace's own rate (`trace_rate`) leaves them as they were.
    """
    own_rps = trace_rate(trace_s)
    stretch, length = own_rps / rate_rps, len(trace_s) / own_rps
    return (stretch * (number * length + due) for number in itertools.count() for due in trace_s)


def trace_rate(trace_s: Sequence[float]) -> float:
    """Arrivals a second of a trace: the gaps' number over their sum."""
    return (len(trace_s) - 1) / (trace_s[-1] - trace_s[0])
