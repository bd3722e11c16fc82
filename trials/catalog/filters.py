"""Choose and order instance types."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.base.records.run import InstanceType
from modeldyno.base.units import SECONDS_PER_HOUR

SortKey = Literal["usd_per_hour", "vcpus", "memory_gib", "coremark_per_usd"]


@dataclass(frozen=True)
class InstanceFilter:
    """What an instance type must have; None asks for nothing."""

    architecture: str | None = None
    family: str | None = None
    min_vcpus: int | None = None
    max_vcpus: int | None = None
    min_memory_gib: float | None = None
    max_usd_per_hour: float | None = None
    gpu: bool | None = None

    def accepts(self, instance: InstanceType) -> bool:
        """Say whether `instance` has all of it."""
        return (
            self.architecture in {None, instance.architecture}
            and self.family in {None, instance.family}
            and (self.min_vcpus or 0) <= instance.vcpus <= _or_infinite(self.max_vcpus)
            and (self.min_memory_gib or 0) <= instance.memory_gib
            and instance.usd_per_hour <= _or_infinite(self.max_usd_per_hour)
            and self.gpu in {None, instance.gpu is not None}
        )


def select_instances(
    instances: Iterable[InstanceType], wanted: InstanceFilter, sort: SortKey = "usd_per_hour"
) -> list[InstanceType]:
    """Return what `wanted` accepts: most CoreMark per USD first, else lowest first; ties go by name.

    Raises:
        ConfigError: no instance type at all has the family asked for.
    """
    instances = list(instances)
    families = dict.fromkeys(instance.family for instance in instances)
    if wanted.family is not None and wanted.family not in families:
        raise ConfigError(unknown_name("family", wanted.family, families))
    return sorted(
        filter(wanted.accepts, instances), key=lambda one: (_sort_value(one, sort), one.instance_type)
    )


def coremark_per_usd(instance: InstanceType) -> float | None:
    """CoreMark iterations that one USD buys with all threads busy; None where no CoreMark was published."""
    if instance.coremark_per_s is None:
        return None
    if instance.usd_per_hour == 0:
        return float("inf")
    return instance.coremark_per_s * SECONDS_PER_HOUR / instance.usd_per_hour


def _sort_value(instance: InstanceType, sort: SortKey) -> float:
    if sort == "coremark_per_usd":
        return -(coremark_per_usd(instance) or 0.0)
    value: float = getattr(instance, sort)
    return value


def _or_infinite(value: float | None) -> float:
    return float("inf") if value is None else value
