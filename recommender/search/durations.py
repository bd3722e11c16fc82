"""How long the trials of a job take."""

from __future__ import annotations

from modeldyno.loadgen.spec.stages import planned_s
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.load_section import Load
from modeldyno.trials.measure.orders import PROBE_S

USUAL_TESTS = 8
"""Load tests of a search: from half of what a closed loop answers, one doubling, then halvings to 5 %."""
CLOSED_LOOP_AND_CONFIRMATION = 2
"""Load tests of a search that its `max_tests` does not count."""
# What a trial takes beside its load: the server's start; Locust's start and end per level.
STARTUP_S = 1.0
LEVEL_OVERHEAD_S = 2.0
# Of candidates that are measured side by side: the generator's start, a first look at each level, starts of
# each finalist and of all in the screening.
GENERATOR_S, PROBE_BLOCK_S, BLOCK_OVERHEAD_S, STARTS = 2.0, 0.5, 0.3, 3


def estimate_s(job: Job, trials: int) -> float:
    """Return about how many seconds `trials` trials take, compilation not counted."""
    return trials * (STARTUP_S + load_s(job.load) + LEVEL_OVERHEAD_S * usual_tests(job.load))


def most_s(job: Job, trials: int) -> float:
    """Return how many seconds `trials` trials take at the most, compilation not counted.

    That is if each server starts in the last moment, and each load test lasts as long as it may.
    """
    overhead_s = LEVEL_OVERHEAD_S * most_tests(job.load)
    return trials * (job.server.startup_timeout_s + most_load_s(job.load) + overhead_s)


def usual_rounds_s(job: Job, candidates: int) -> float:
    """About how many seconds candidates take that are measured side by side."""
    load, cells = job.load, candidates * len(job.load.levels())
    alone_s = candidates * STARTUP_S + cells * (max(PROBE_BLOCK_S, load.warmup_s / 2) + BLOCK_OVERHEAD_S)
    starts_s = STARTS * (candidates * STARTUP_S) + STARTS * cells * load.warmup_s / max(1, len(load.levels()))
    return GENERATOR_S + alone_s + starts_s + cells * load.window_s


def most_rounds_s(job: Job, candidates: int) -> float:
    """The same at the most: each server starts in the last moment, each finalist needs its longest window."""
    load, cells = job.load, candidates * len(job.load.levels())
    starts_s = (1 + STARTS) * candidates * job.server.startup_timeout_s
    return usual_rounds_s(job, candidates) + starts_s + cells * (load.longest_s + load.timeout_s)


def usual_tests(load: Load) -> int:
    """How many load tests one candidate gets; of a search about."""
    if load.find_rate is not None:
        return min(USUAL_TESTS, load.find_rate.max_tests)
    return len(load.levels())


def most_tests(load: Load) -> int:
    """How many load tests one candidate gets at the most."""
    if load.find_rate is not None:
        return load.find_rate.max_tests + CLOSED_LOOP_AND_CONFIRMATION
    return len(load.levels())


def load_s(load: Load) -> float:
    """Seconds of load of one candidate at least (of a search about), warm-up included."""
    if staged := load.staged:
        return load.warmup_s + planned_s(staged)
    probe_s = PROBE_S if load.find_rate is not None else 0.0
    return probe_s + usual_tests(load) * (load.warmup_s + load.window_s)


def most_load_s(load: Load) -> float:
    """Seconds of load of one candidate at the most: the longest windows, and answers that come last.

    What a server needs to work off an overload is not in it.
    """
    if staged := load.staged:
        return load.warmup_s + planned_s(staged) + load.timeout_s
    longest_s = load.longest_s if load.min_samples or load.find_rate else load.window_s
    return most_tests(load) * (load.warmup_s + longest_s + load.timeout_s)
