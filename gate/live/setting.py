"""Where both sides run, and what they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.command.shape_flag import fixed_shapes
from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.run import ServerSettings
from modeldyno.gate.options import GateOptions
from modeldyno.gate.sides.record import Side
from modeldyno.loadgen.payloads.files import Mix, read_mix, single
from modeldyno.loadgen.server.signature import payload_from_server
from modeldyno.trials.providers.base import Order, Provider
from modeldyno.trials.providers.here import Elsewhere, local_provider, served, this_machine

STARTUP_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Setting:
    """Where both sides run."""

    provider: Provider
    orders: dict[str, Order]
    """By side."""
    cores: tuple[int, ...]
    """Of the servers; empty where others run them."""

    @property
    def here(self) -> bool:
        """Whether the servers are started by the gate."""
        return bool(self.cores)


def setting_of(sides: dict[str, Side], options: GateOptions) -> Setting:
    """Order a server of each side: on the same cores, with the same settings, unless others run them."""
    host = host_facts()
    logs = {name: options.output / "logs" / f"{name}.log" for name in sides}
    settings = served(ServerSettings(threads=threads_of(options), workers=options.workers))
    urls = {name: side.url for name, side in sides.items() if side.url is not None}
    if urls:
        shape = this_machine(host, 1)
        orders = {name: Order(settings, shape, Path(), logs[name], STARTUP_TIMEOUT_S) for name in sides}
        return Setting(Elsewhere(urls), orders, ())
    provider, shape = local_provider(host, options.cpus)
    orders = {
        name: Order(settings, shape, _path(side), logs[name], STARTUP_TIMEOUT_S)
        for name, side in sides.items()
    }
    return Setting(provider, orders, provider.split(shape)[0])


def threads_of(options: GateOptions) -> int:
    """Threads inside one inference."""
    if options.threads is not None:
        return options.threads
    _, shape = local_provider(host_facts(), options.cpus)
    return max(1, shape.vcpus // options.workers)


def users_of(options: GateOptions) -> int:
    """Users of the closed loop."""
    return options.users or options.workers


def bodies_for(setting: Setting, first: str, options: GateOptions) -> Mix:
    """What both sides get: the user's own bodies, or random tensors for the inputs of the side `first`.

    Raises:
        ConfigError: the files can't be read. ServerError: the side can't be started.
        LoadTestError: its inputs can't be asked for.
    """
    if options.payload is not None:
        return read_mix(options.payload, options.content_type)
    with setting.provider.deploy(setting.orders[first]) as deployment:
        return single(payload_from_server(deployment.url, options.seed, fixed_shapes(options.shapes)))


def check_sides(baseline: Side, candidate: Side) -> None:
    """Both run here, or neither does.

    Raises:
        ConfigError: only one does, or the candidate is numbers alone beside something that runs.
    """
    if candidate.kind == "saved run" and baseline.kind != "saved run":
        raise ConfigError(
            f"{candidate.reference} is numbers alone, which say nothing of today's machine",
            hint="let the candidate be what can be measured now",
        )
    if baseline.kind != "saved run" and (baseline.url is None) != (candidate.url is None):
        raise ConfigError(
            f"{baseline.reference} and {candidate.reference}: only one of them is a URL, and a server "
            "elsewhere can't be compared with one that is started here",
            hint="give two URLs, or none",
        )


def _path(side: Side) -> Path:
    assert side.path is not None  # noqa: S101 - only URLs have none
    return side.path
