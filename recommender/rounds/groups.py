"""Instance types that are the same machine here: emulated by the same cores, they are measured once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modeldyno.base.records.run import InstanceType
from modeldyno.trials.measure.orders import PlannedTrial


@dataclass(frozen=True)
class Group:
    """One configuration on all instance types that are one machine here."""

    shape: str
    """Like "2 vCPUs"."""
    members: tuple[PlannedTrial, ...]

    @property
    def measured(self) -> PlannedTrial:
        """The member that is measured: the one with the least memory, which all others have, too."""
        return min(self.members, key=lambda each: (each.instance.memory_gib, each.instance.instance_type))

    @property
    def larger(self) -> tuple[PlannedTrial, ...]:
        """Members with more memory than that, one for each size, the least first."""
        least = self.measured.instance.memory_gib
        sizes = {each.instance.memory_gib: each for each in reversed(self.members)}
        return tuple(sizes[size] for size in sorted(sizes) if size > least)

    @property
    def key(self) -> str:
        """Of the trial that is measured."""
        return self.measured.candidate.key


def groups_of(planned: Iterable[PlannedTrial]) -> tuple[Group, ...]:
    """Put together what differs in nothing that this machine can show, in the order of the plan."""
    found = dict[tuple[object, ...], list[PlannedTrial]]()
    for each in planned:
        shape = (each.instance.architecture, each.instance.vcpus, each.instance.gpu)
        found.setdefault((*shape, each.candidate.backend, each.candidate.settings.key), []).append(each)
    return tuple(Group(shape_name(members[0].instance), tuple(members)) for members in found.values())


def shape_name(instance: InstanceType) -> str:
    """What of an instance type this machine can show: `1 vCPU`, `4 vCPUs`."""
    return f"{instance.vcpus} vCPU{'' if instance.vcpus == 1 else 's'}"
