"""Servers without the shape of an instance type: on chosen cores of this machine, or run by somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from modeldyno.base.errors import LoadTestError, ServerError
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.records.record import HostFacts
from modeldyno.base.records.run import Candidate, Fidelity, InstanceType, ServerSettings
from modeldyno.loadgen.generator.fleet import ALONE, Workers
from modeldyno.loadgen.server.endpoint import check_listening
from modeldyno.trials.providers.base import SERVING, Order, State
from modeldyno.trials.providers.local import LocalProvider, catalog_architecture

THIS_MACHINE = "this machine"


def this_machine(host: HostFacts, vcpus: int) -> InstanceType:
    """The shape of so many cores of this machine, with all of its memory, which costs nothing."""
    architecture = catalog_architecture(host)
    return InstanceType(
        instance_type=THIS_MACHINE,
        family=THIS_MACHINE,
        architecture="arm64" if architecture == "arm64" else "x86_64",
        vcpus=vcpus,
        cores=None,
        memory_gib=host.memory_gib,
        cpu_model=host.cpu_model,
        coremark_per_s=None,
        gpu=None,
        usd_per_hour=0.0,
        price_date="",
        price_source="",
    )


def local_provider(host: HostFacts, cpus: tuple[int, ...] | None) -> tuple[LocalProvider, InstanceType]:
    """A provider whose servers get `cpus`; None: all usable cores but the last, which the generator needs."""
    usable = usable_cores()
    chosen = cpus or (usable[:-1] if len(usable) > 1 else usable)
    rest = tuple(core for core in usable if core not in chosen)
    return LocalProvider(host, (*chosen, *rest)), this_machine(host, len(chosen))


def served(settings: ServerSettings) -> Candidate:
    """Whatever is served with these settings."""
    return Candidate(backend="compiled", instance_type=THIS_MACHINE, settings=settings)


@dataclass(frozen=True)
class RunningServer:
    """A server that somebody else runs: nothing is known of it but its address."""

    url: str
    startup_s: float = 0.0
    usage: None = None
    pausing: None = None
    cores: tuple[int, ...] = ()
    generator: Workers = ALONE
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Its answers say whether it serves."""
        return SERVING


@dataclass(frozen=True)
class Elsewhere:
    """Servers that run already: `urls` has the address for the stem of an order's log."""

    urls: dict[str, str]
    name: str = "elsewhere"

    def refusal(self, instance: InstanceType) -> str | None:  # noqa: ARG002 - the contract's signature
        """Nothing is refused."""
        return None

    def fidelity(self, instance: InstanceType) -> Fidelity:  # noqa: ARG002 - as above
        """What answers is what is meant."""
        return "measured"

    def notes(self, instance: InstanceType) -> tuple[str, ...]:  # noqa: ARG002 - as above
        """Nothing is emulated."""
        return ()

    @contextmanager
    def deploy(self, order: Order) -> Iterator[RunningServer]:
        """See whether it listens.

        Raises:
            ServerError: nothing listens there.
        """
        url = self.urls[order.log.stem]
        try:
            check_listening(url)
        except LoadTestError as error:
            raise ServerError(str(error)) from error
        yield RunningServer(url)
