"""Scaling policies: alarm windows, target tracking, step scaling, cooldowns, the Kubernetes rule; all pure.

A policy sees datapoints of a metric for each instance (requests a minute, CPU percent), the latest last; None
is a datapoint that is missing. It answers with the number of instances that is wanted. Times are seconds.

Sources: AWS Application Auto Scaling (target tracking: alarms of 3 datapoints above and 15 below, cooldowns),
EC2 Auto Scaling (low alarm at 0.7 of the target), Kubernetes HorizontalPodAutoscaler (ratio, tolerance,
stabilisation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

Datapoints = Sequence[float | None]

PERIOD_S = 60.0
HIGH_DATAPOINTS, LOW_DATAPOINTS = 3, 15
COOLDOWN_S = 300.0
LOW_OF_SERVICES = 0.9
"""Application Auto Scaling (SageMaker, ECS): 30 scales in below 27."""
LOW_OF_GROUPS = 0.7
"""EC2 groups: 50 scales in below 35."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class State:
    """What a policy remembers."""

    desired: int
    out_at_s: float = -math.inf
    """When it last scaled out."""
    in_at_s: float = -math.inf
    before_out: int = 0
    """Instances before the scale-out whose cooldown runs."""
    recommended: tuple[tuple[float, int], ...] = ()
    """Of Kubernetes: what was recommended lately, and when."""


@dataclass(frozen=True)
class Seen:
    """What a policy is shown."""

    now_s: float
    values: Datapoints
    in_service: int


def breached(values: Datapoints, threshold: float, datapoints: int, *, above: bool) -> bool:
    """Whether the last `datapoints` are all beyond the threshold; a missing one never is."""
    last = list(values)[-datapoints:]
    if len(last) < datapoints:
        return False
    return all(each is not None and (each > threshold if above else each < threshold) for each in last)


def clamp(count: int, least: int, most: int) -> int:
    """Within what is allowed."""
    return max(least, min(most, count))


def in_proportion(instances: int, metric: float, target: float) -> int:
    """Instances at which each has the target: ceil(instances * metric / target)."""
    return math.ceil(instances * metric / target * (1 - ROUNDING))


@dataclass(frozen=True)
class TargetTracking:
    """Two alarms about a target; out in proportion at once, in after a long calm.

    Going out, what serves now is counted, and only more than is on its way already changes anything. Nothing
    scales in while either cooldown runs; scaling out ends the one of scaling in.
    """

    target: float
    least: int = 1
    most: int = 1000
    low: float = LOW_OF_SERVICES
    out_cooldown_s: float = COOLDOWN_S
    in_cooldown_s: float = COOLDOWN_S
    scales_in: bool = True

    def step(self, state: State, seen: Seen) -> State:
        """The next state."""
        wanted = self.wanted(seen)
        if wanted is None:
            return state
        wanted = clamp(wanted, self.least, self.most)
        if wanted > state.desired:
            return scaled_out(state, wanted, seen.now_s)
        if wanted < state.desired and self._may_scale_in(state, seen.now_s):
            return replace(state, desired=wanted, in_at_s=seen.now_s)
        return state

    def wanted(self, seen: Seen) -> int | None:
        """What the alarms ask for; None where neither fires."""
        last = seen.values[-1] if seen.values else None
        if last is None:
            return None
        if breached(seen.values, self.target, HIGH_DATAPOINTS, above=True):
            return in_proportion(seen.in_service, last, self.target)
        if self.scales_in and breached(seen.values, self.low * self.target, LOW_DATAPOINTS, above=False):
            return in_proportion(seen.in_service, last, self.target)
        return None

    def _may_scale_in(self, state: State, now_s: float) -> bool:
        calm_since = max(state.out_at_s + self.out_cooldown_s, state.in_at_s + self.in_cooldown_s)
        return now_s >= calm_since


def scaled_out(state: State, desired: int, now_s: float) -> State:
    """Scale out: the cooldown of scaling in ends, that of scaling out begins."""
    return replace(state, desired=desired, out_at_s=now_s, in_at_s=-math.inf, before_out=state.desired)


@dataclass(frozen=True)
class Step:
    """Of a metric so far beyond the threshold: above <= metric - threshold < below."""

    above: float
    below: float
    change: int


@dataclass(frozen=True)
class StepScaling:
    """An alarm and steps of how far beyond it the metric is.

    While a cooldown runs, only what a larger step adds beyond the last one counts.
    """

    threshold: float
    steps: tuple[Step, ...]
    datapoints: int = HIGH_DATAPOINTS
    least: int = 1
    most: int = 1000
    cooldown_s: float = COOLDOWN_S

    @property
    def scales_out(self) -> bool:
        """Whether its steps add instances; such an alarm is above its threshold."""
        return all(step.change >= 0 for step in self.steps)

    def change(self, metric: float) -> int:
        """Instances that the metric's step adds; 0 where none holds it."""
        breach = metric - self.threshold
        return next((step.change for step in self.steps if step.above <= breach < step.below), 0)

    def step(self, state: State, seen: Seen) -> State:
        """The next state."""
        last = seen.values[-1] if seen.values else None
        if last is None or not breached(seen.values, self.threshold, self.datapoints, above=self.scales_out):
            return state
        change = self.change(last)
        if change > 0:
            cooling = seen.now_s < state.out_at_s + self.cooldown_s
            base = state.before_out if cooling else state.desired
            wanted = clamp(base + change, self.least, self.most)
            if wanted <= state.desired:
                return state
            kept = scaled_out(state, wanted, seen.now_s)
            return replace(kept, before_out=base)
        cooling = seen.now_s < max(state.in_at_s, state.out_at_s) + self.cooldown_s
        wanted = clamp(state.desired + change, self.least, self.most)
        return (
            state
            if cooling or wanted >= state.desired
            else replace(state, desired=wanted, in_at_s=seen.now_s)
        )


@dataclass(frozen=True)
class Kubernetes:
    """HorizontalPodAutoscaler: in proportion, with a tolerance; in by the highest of five minutes."""

    target: float
    least: int = 1
    most: int = 1000
    tolerance: float = 0.1
    stabilisation_s: float = 300.0

    def step(self, state: State, seen: Seen) -> State:
        """The next state, to be asked every 15 s."""
        last = seen.values[-1] if seen.values else None
        if last is None or seen.in_service == 0:
            return state
        ratio = last / self.target
        count = (
            state.desired
            if abs(ratio - 1) <= self.tolerance
            else in_proportion(seen.in_service, last, self.target)
        )
        count = clamp(count, self.least, self.most)
        lately = [each for each in state.recommended if each[0] > seen.now_s - self.stabilisation_s]
        recommended = (*lately, (seen.now_s, count))
        wanted = count
        if count < state.desired:
            wanted = min(state.desired, max(number for _, number in recommended))
        out_at_s = seen.now_s if wanted > state.desired else state.out_at_s
        return replace(state, desired=wanted, recommended=recommended, out_at_s=out_at_s)


Policy = TargetTracking | StepScaling | Kubernetes


def together(state: State, answers: Sequence[State]) -> State:
    """Join what several policies answer: out by the largest, in only when all go in, by the largest too."""
    largest = max(answers, key=lambda each: each.desired, default=state)
    if largest.desired > state.desired:
        return largest
    return largest if all(each.desired < state.desired for each in answers) else state


def service_policy(target: float, least: int, most: int) -> TargetTracking:
    """Target tracking as SageMaker and ECS have it."""
    return TargetTracking(target, least, most)


def group_policy(target: float, least: int, most: int) -> TargetTracking:
    """Target tracking as EC2 groups have it: the low alarm is lower."""
    return TargetTracking(target, least, most, low=LOW_OF_GROUPS)
