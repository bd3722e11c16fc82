"""How long the trials of a job take."""

from __future__ import annotations

import math

from modeldyno.loadgen.spec.checks import long_enough
from modeldyno.loadgen.spec.stages import planned_s
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.load_section import Load
from modeldyno.recommender.job.trial_orders import search_order
from modeldyno.trials.measure.orders import PROBE_S
from modeldyno.trials.measure.rate_search import confirmation_s as trial_confirmation_s

USUAL_TESTS = 8
"""Load tests of a search: from half of what a closed loop answers, one doubling, then halvings to 5 %."""
CLOSED_LOOP_AND_CONFIRMATION = 2
"""Load tests of a search that its `max_tests` does not count."""
VOID_TRIES = 2
"""Load tests of one level in one start, while they are void."""
# What a trial takes beside its load: the server's start; Locust's start and end per level.
STARTUP_S = 1.0
LEVEL_OVERHEAD_S = 2.0
# Of candidates that are measured side by side: the generator's start, a first look at each level, starts of
# each finalist and of all in the screening.
GENERATOR_S, PROBE_BLOCK_S, BLOCK_OVERHEAD_S, STARTS = 2.0, 0.5, 0.3, 3
FINALISTS, LONGER = 4, 0.3
"""Candidates of the finals; of the time up to `max_duration_s` what `min_samples` usually takes."""


def estimate_s(job: Job, trials: int, *, done: int = 0) -> float:
    """Return about how many seconds `trials` trials take, compilation not counted.

    `done` are starts of theirs that an earlier run has measured.
    """
    load = job.load
    first_s = STARTUP_S + load_s(load) + LEVEL_OVERHEAD_S * usual_tests(load)
    later_s = first_s if load.find_rate is None else STARTUP_S + LEVEL_OVERHEAD_S + confirmation_s(load)
    return _together_s(load, trials, done, first_s, later_s)


def most_s(job: Job, trials: int, *, done: int = 0) -> float:
    """Return how many seconds `trials` trials take at the most, compilation not counted.

    That is if each server starts in the last moment, each load test lasts as long as it may, and each that is
    repeated where it is void is void. `done` as in `estimate_s`.
    """
    load, late_s = job.load, job.server.startup_timeout_s
    first_s = late_s + most_load_s(load) + LEVEL_OVERHEAD_S * most_tests(load)
    longest_s = load.warmup_s + load.longest_s + load.timeout_s + LEVEL_OVERHEAD_S
    later_s = first_s if load.find_rate is None else late_s + VOID_TRIES * longest_s
    return _together_s(load, trials, done, first_s, later_s)


def _together_s(load: Load, trials: int, done: int, first_s: float, later_s: float) -> float:
    """All starts, but those that are done: the first ones of all candidates come first."""
    later = trials * (load.starts - 1) - max(0, done - trials)
    return max(0, trials - done) * first_s + later * later_s


def usual_rounds_s(job: Job, candidates: int) -> float:
    """About how many seconds candidates take that are measured side by side."""
    load, cells = job.load, candidates * len(job.load.levels())
    alone_s = candidates * STARTUP_S + cells * (max(PROBE_BLOCK_S, load.warmup_s / 2) + BLOCK_OVERHEAD_S)
    starts_s = STARTS * (candidates * STARTUP_S) + STARTS * cells * load.warmup_s / max(1, len(load.levels()))
    finals = min(FINALISTS, candidates) * len(load.levels())
    longer_s = finals * LONGER * (load.longest_s - load.window_s) if load.min_samples else 0.0
    return GENERATOR_S + alone_s + starts_s + cells * load.window_s + longer_s


def most_rounds_s(job: Job, candidates: int) -> float:
    """The same at the most: each server starts in the last moment, each finalist needs its longest window."""
    load, cells = job.load, candidates * len(job.load.levels())
    starts_s = (1 + STARTS) * candidates * job.server.startup_timeout_s
    return usual_rounds_s(job, candidates) + starts_s + cells * (load.longest_s + load.timeout_s)


def usual_tests(load: Load) -> int:
    """How many load tests one start of a candidate gets; of a search about."""
    if load.find_rate is not None:
        return min(USUAL_TESTS, load.find_rate.max_tests)
    return len(load.levels())


def most_tests(load: Load) -> int:
    """How many load tests one start of a candidate gets at the most: a void one of a level is repeated."""
    if load.find_rate is not None:
        return load.find_rate.max_tests + CLOSED_LOOP_AND_CONFIRMATION
    return VOID_TRIES * len(load.levels())


def confirmation_s(load: Load) -> float:
    """Seconds of load of one confirmation of a rate, warm-up included."""
    assert load.find_rate is not None  # noqa: S101 - the caller has seen it
    shortest_s = trial_confirmation_s(search_order(load.find_rate, load.longest_s), load.window_s)
    return load.warmup_s + shortest_s


def load_s(load: Load) -> float:
    """Seconds of load of one start of a candidate at least (of a search about), warm-up included."""
    if staged := load.staged:
        return load.warmup_s + planned_s(staged)
    if load.rate_rps is not None:
        return math.fsum(load.warmup_s + long_enough(spec).duration_s for spec in load.specs("", 0))
    probe_s = PROBE_S if load.find_rate is not None else 0.0
    return probe_s + usual_tests(load) * (load.warmup_s + load.window_s)


def most_load_s(load: Load) -> float:
    """Seconds of load of a candidate's start at the most: the longest windows, and answers that come last.

    What a server needs to work off an overload is not in it.
    """
    if staged := load.staged:
        return VOID_TRIES * (load.warmup_s + planned_s(staged) + load.timeout_s)
    longest_s = load.longest_s if load.min_samples or load.find_rate else load.window_s
    return most_tests(load) * (load.warmup_s + longest_s + load.timeout_s)
