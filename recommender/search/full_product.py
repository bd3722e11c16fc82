"""The sampler that measures all that a job names."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.base.records.record import HostFacts
from modeldyno.base.records.run import Candidate, InstanceType, ServerSettings
from modeldyno.base.records.server import ServerLimits
from modeldyno.base.settings import fields_of
from modeldyno.recommender.job.job import Backend, Job
from modeldyno.trials.catalog.instance_types import load_catalog, match_instances
from modeldyno.trials.measure.orders import PlannedTrial
from modeldyno.trials.providers.local import catalog_architecture

# Current compute-optimised types, smallest first: one and two vCPUs, a core each or two on one core.
REPRESENTATIVE = {
    "x86_64": ("c7a.medium", "c7a.large", "c7i.large", "c7a.xlarge", "c7i.xlarge"),
    "arm64": ("c7g.medium", "c7g.large", "c7g.xlarge"),
}
DEFAULT_TYPES = 3


class FullProduct:
    """Every combination of the job's lists, each once."""

    def plan(self, job: Job, backends: Iterable[Backend], host: HostFacts) -> tuple[PlannedTrial, ...]:
        """Return every combination in the seeded order of measuring.

        The order is shuffled, so that a drift of the machine does not fall on one end of the list.

        Raises:
            ConfigError: an instance type is unknown, or a pattern matches none.
        """
        combinations = product(instance_types(job, host), backends, _settings(job))
        found: dict[str, PlannedTrial] = {}
        for instance, backend, (threads, common) in combinations:
            settings = common.model_copy(update={"threads": _threads(threads, instance, common)})
            candidate = Candidate(backend=backend, instance_type=instance.instance_type, settings=settings)
            found.setdefault(candidate.key, PlannedTrial(candidate, instance))
        trials = list(found.values())
        random.Random(job.seed).shuffle(trials)  # noqa: S311 - an order that repeats, no secret
        return tuple(trials)


def _settings(job: Job) -> Iterator[tuple[int | str, ServerSettings]]:
    """Every combination of server settings; without batching no delay tells one from another."""
    space = job.candidates
    axes = (space.threads, space.workers, space.processes, space.max_batch, space.batch_delay_ms)
    for threads, workers, processes, max_batch, delay_ms in product(*axes):
        yield (
            threads,
            ServerSettings(
                threads=1,
                workers=workers,
                processes=processes,
                max_batch=max_batch,
                batch_delay_ms=delay_ms if max_batch > 1 else 0.0,
                **job.server.model_dump(include={each.name for each in fields_of(ServerLimits)}),
            ),
        )


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
            raise ConfigError(
                unknown_name("instance type", pattern, catalog, hint="see dyno instances"),
                field="instance_types",
            )
        found.update((match.instance_type, match) for match in matches)
    return list(found.values())


def _representative(catalog: Mapping[str, InstanceType], host: HostFacts) -> list[InstanceType]:
    names = REPRESENTATIVE.get(catalog_architecture(host), ())
    known = [catalog[name] for name in names if name in catalog]
    fitting = [instance for instance in known if instance.vcpus <= host.usable_cores]
    if not fitting:
        raise ConfigError(
            f"no instance types are preset for {host.architecture}: name some in candidates.instance_types"
        )
    return fitting[:DEFAULT_TYPES]


def _threads(wanted: int | str, instance: InstanceType, settings: ServerSettings) -> int:
    side_by_side = settings.workers * settings.processes
    return max(1, instance.vcpus // side_by_side) if isinstance(wanted, str) else wanted
