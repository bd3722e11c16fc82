"""Which candidates a job asks for, in which order they are measured, and how long that takes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from dyno.errors import ConfigError, unknown_name
from dyno.records import Candidate, HostFacts, InstanceType, ServerSettings
from recommender.catalog import load_catalog, match_instances
from recommender.job import Backend, Job
from recommender.providers.local import catalog_architecture

# Current compute-optimised types, smallest first: one and two vCPUs, a core each or two on one core.
REPRESENTATIVE = {
    "x86_64": ("c7a.medium", "c7a.large", "c7i.large", "c7a.xlarge", "c7i.xlarge"),
    "arm64": ("c7g.medium", "c7g.large", "c7g.xlarge"),
}
DEFAULT_TYPES = 3
# What a trial takes beside its load: the server's start; Locust's start and end per level.
STARTUP_S = 1.0
LEVEL_OVERHEAD_S = 2.0


@dataclass(frozen=True)
class PlannedTrial:
    """One candidate on its instance type."""

    candidate: Candidate
    instance: InstanceType


def plan_trials(job: Job, backends: Iterable[Backend], host: HostFacts) -> tuple[PlannedTrial, ...]:
    """Return every combination that the job asks for, each once, in the seeded order of measuring.

    The order is shuffled, so that a drift of the machine does not fall on one end of the list.

    Raises:
        ConfigError: an instance type is unknown, or a pattern matches none.
    """
    space = job.candidates
    combinations = product(instance_types(job, host), backends, space.threads, space.workers)
    found: dict[str, PlannedTrial] = {}
    for instance, backend, threads, workers in combinations:
        settings = ServerSettings(threads=_threads(threads, instance, workers), workers=workers)
        candidate = Candidate(backend=backend, instance_type=instance.instance_type, settings=settings)
        found.setdefault(candidate.key, PlannedTrial(candidate, instance))
    trials = list(found.values())
    random.Random(job.seed).shuffle(trials)  # noqa: S311 - an order that repeats, no secret
    return tuple(trials)


def instance_types(job: Job, host: HostFacts) -> list[InstanceType]:
    """Return the types that the job names; without any, the representative ones that this host has cores for.

    Raises:
        ConfigError: a name is not in the catalogue, or a pattern matches none.
    """
    catalog = load_catalog(job.catalog)
    if job.candidates.instance_types is None:
        return _representative(catalog, host)
    found: dict[str, InstanceType] = {}
    for pattern in job.candidates.instance_types:
        matches = match_instances(catalog, [pattern])
        if not matches:
            raise ConfigError(unknown_name("instance type", pattern, catalog, hint="see dyno instances"))
        found.update((match.instance_type, match) for match in matches)
    return list(found.values())


def estimate_s(job: Job, trials: int) -> float:
    """Return about how many seconds `trials` trials take, compilation not counted."""
    return trials * (STARTUP_S + job.load.seconds() + LEVEL_OVERHEAD_S * len(job.load.levels()))


def _representative(catalog: Mapping[str, InstanceType], host: HostFacts) -> list[InstanceType]:
    names = REPRESENTATIVE.get(catalog_architecture(host), ())
    known = [catalog[name] for name in names if name in catalog]
    fitting = [instance for instance in known if instance.vcpus <= host.usable_cores]
    if not fitting:
        raise ConfigError(
            f"no instance types are preset for {host.architecture}: name some in candidates.instance_types"
        )
    return fitting[:DEFAULT_TYPES]


def _threads(wanted: int | str, instance: InstanceType, workers: int) -> int:
    return max(1, instance.vcpus // workers) if isinstance(wanted, str) else wanted
