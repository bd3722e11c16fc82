"""What queueing theory says of a server with one place: the truth that a load generator is held against.

Requests come at random (Poisson) and are served one after the other, in order. The time in the system runs
from the arrival to the end of the service. Sources: Kleinrock, "Queueing Systems" volume 1 (1975) for M/M/1
and the mean of M/D/1 (Pollaczek and Khinchine); Erlang (1909) and Crommelin (1932) for the distribution of
M/D/1's wait.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Queue:
    """A queue in balance: `rate` arrivals a second, each takes `service_s`; the product is below 1."""

    rate: float
    service_s: float
    fixed: bool  # True: every service lasts the same (M/D/1); False: exponential (M/M/1)

    @property
    def mean_s(self) -> float:
        """Mean time in the system."""
        load = self.rate * self.service_s
        wait = load * self.service_s / (1 - load)
        return self.service_s + (wait / 2 if self.fixed else wait)

    def quantile_s(self, share: float) -> float:
        """Time in the system that `share` of the requests do not exceed."""
        if not self.fixed:
            return -math.log(1 - share) / (1 / self.service_s - self.rate)
        return self.service_s + self._wait_quantile(share)

    def _wait_quantile(self, share: float) -> float:
        low, high = 0.0, self.service_s
        if self._waits_at_most(low) >= share:
            return 0.0
        while self._waits_at_most(high) < share:
            low, high = high, 2 * high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self._waits_at_most(middle) >= share else (middle, high)
        return high

    def _waits_at_most(self, seconds: float) -> float:
        """P(W <= t) = (1 - rho) * sum of (rate (jD - t))^j / j! * exp(rate (t - jD)), j from 0 to t / D."""
        terms = []
        for number in range(int(seconds / self.service_s) + 1):
            past = self.rate * (number * self.service_s - seconds)
            terms.append(past**number / math.factorial(number) * math.exp(-past))
        return (1 - self.rate * self.service_s) * math.fsum(terms)


def times_in_system(
    arrivals_s: Sequence[float], services_s: Sequence[float], stall: tuple[float, float] | None = None
) -> list[float]:
    """Give each request's time in the system, in order (Lindley's recursion, 1952): no sampling error.

    During `stall` (from, to) the server begins nothing; a service that has begun goes on.
    """
    found, free = [], 0.0
    for arrival, service in zip(arrivals_s, services_s, strict=True):
        begin = max(arrival, free)
        if stall and stall[0] <= begin < stall[1]:
            begin = stall[1]
        free = begin + service
        found.append(free - arrival)
    return found
