"""Traffic replayed request by request over instances that a policy starts and stops; numpy only.

A request takes the lane that is free first (Kiefer and Wolfowitz). An instance has so many lanes, serves
after its start-up, and ends when its lanes have finished what they have. A request is never refused.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from modeldyno.base.scaling import Policy, Seen, State

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
MINUTE_S = 60.0


def waits(arrivals: Floats, services: Floats, lanes: int) -> Floats:
    """Seconds that each request waits for a lane; arrivals ascend. First come, first served."""
    free = [0.0] * lanes
    found = np.empty(len(arrivals))
    replace_first = heapq.heapreplace
    for at, (now, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        start = max(free[0], now)
        found[at] = start - now
        replace_first(free, start + service)
    return found


@dataclass(frozen=True)
class Instances:
    """What is started and stopped."""

    lanes: int
    """Requests that one serves side by side."""
    service: Draw
    """Seconds that requests take, drawn: `service(generator, number)`."""
    start_s: float
    """From the decision to the first request: the provider's share and the server's start-up."""
    limit_s: float
    """A request that takes longer is late."""


@dataclass(frozen=True)
class Replayed:
    """What came of it."""

    requests: int
    late: int
    instance_s: float
    """In service, summed."""
    most: int
    actions: int
    counts: tuple[int, ...]
    """Instances in service at the end of each step."""

    @property
    def late_share(self) -> float:
        """Share of requests over the limit."""
        return self.late / self.requests if self.requests else 0.0


@dataclass
class _Fleet:
    """Lanes by when they are free, and what is on its way."""

    lanes: int
    free: list[float]
    serving: int
    coming: list[tuple[float, int]] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return self.serving + sum(count for _, count in self.coming)

    def arrive(self, now_s: float) -> None:
        """Put what has started in service."""
        for ready_s, count in [each for each in self.coming if each[0] <= now_s]:
            self.coming.remove((ready_s, count))
            self.serving += count
            for _ in range(count * self.lanes):
                heapq.heappush(self.free, ready_s)

    def become(self, desired: int, ready_s: float) -> None:
        """Start what is missing, or call off what is coming, then stop what is free first."""
        if desired > self.asked:
            self.coming.append((ready_s, desired - self.asked))
            return
        while self.coming and self.asked > desired:
            latest_s, count = self.coming.pop()
            if (kept := count - (self.asked + count - desired)) > 0:
                self.coming.append((latest_s, kept))
        for _ in range((self.serving - desired) * self.lanes if desired < self.serving else 0):
            heapq.heappop(self.free)
        self.serving = min(self.serving, desired)


def replay(
    minutes_rps: Sequence[float],
    instances: Instances,
    policy: Policy,
    *,
    begin: int,
    metric_delay_s: float = 120.0,
    every_s: float = MINUTE_S,
    seed: int = 0,
) -> Replayed:
    """Replay the rates with Poisson arrivals, the policy asked once every step.

    The metric is requests a minute for each instance in service; a datapoint is seen `metric_delay_s` after
    its step ended. `begin` instances serve at first.
    """
    chance = np.random.default_rng(seed)
    fleet = _Fleet(instances.lanes, [0.0] * (begin * instances.lanes), begin)
    state, values, counts = State(begin), list[float | None](), list[int]()
    requests = late = actions = 0
    hidden = math.ceil(metric_delay_s / every_s)
    for step in range(round(len(minutes_rps) * MINUTE_S / every_s)):
        now_s = step * every_s
        fleet.arrive(now_s)
        number = int(chance.poisson(minutes_rps[int(now_s // MINUTE_S)] * every_s))
        arrivals = now_s + np.sort(chance.random(number)) * every_s
        late += _serve(fleet.free, arrivals, instances.service(chance, number), instances.limit_s)
        requests += number
        counts.append(fleet.serving)
        values.append(number / fleet.serving * MINUTE_S / every_s if fleet.serving else None)
        seen = Seen(now_s + every_s, values[: len(values) - hidden], fleet.serving)
        after = policy.step(state, seen)
        if after.desired != state.desired:
            actions += 1
            fleet.become(after.desired, now_s + every_s + instances.start_s)
        state = after
    return Replayed(requests, late, sum(counts) * every_s, max(counts), actions, tuple(counts))


def _serve(free: list[float], arrivals: Floats, services: Floats, limit_s: float) -> int:
    """Serve the requests of a step; return how many are late."""
    late = 0
    replace_first = heapq.heapreplace
    for now, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        end = max(free[0], now) + service
        replace_first(free, end)
        late += end - now > limit_s
    return late


def perfect_counts(minutes_rps: Sequence[float], capacity_rps: float) -> tuple[int, ...]:
    """Instances of a scaler that knows each minute beforehand and starts them at once: at least one."""
    return tuple(max(1, math.ceil(rate / capacity_rps * (1 - 1e-9))) for rate in minutes_rps)


def constant(seconds: float) -> Draw:
    """Every request takes as long."""
    return lambda _, number: np.full(number, seconds)


def exponential(mean_s: float) -> Draw:
    """Without memory."""
    return lambda chance, number: chance.exponential(mean_s, number)


def measured(seconds: Sequence[float], shares: Sequence[float]) -> Draw:
    """By a histogram of measured times."""
    values, weights = np.asarray(seconds, float), np.asarray(shares, float)
    return lambda chance, number: chance.choice(values, number, p=weights / weights.sum())
