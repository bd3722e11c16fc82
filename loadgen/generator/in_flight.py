"""How many requests may be in flight: what open files and memory of the generator's machine allow."""

from __future__ import annotations

import psutil

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.generator.fleet import Workers
from modeldyno.loadgen.generator.open_files import file_limit
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.spec.stages import planned_stages

RESERVED_FILES = 64
"""Descriptors of a Locust process besides its connections."""
USER_BYTES = 64 * 1024
"""Of the generator's own memory, a user and its connection."""
MEMORY_SHARE = 0.5
"""Of what is available, for requests in flight."""


def with_bound(spec: LoadSpec, workers: Workers, mix: Mix, most: int) -> LoadSpec:
    """Fill in how many requests of an open loop may be in flight: `most`, or as many as this machine carries.

    Raises:
        ConfigError: this machine can't open as many connections as were asked for.
    """
    here = workers.local if workers.distributed else 1
    connections = (file_limit() - RESERVED_FILES) * workers.number if here else 1 << 20
    if spec.rate_rps is None:
        _check(max(_users(spec)) * spec.samples_per_query, connections, "users", "users")
        return spec
    if spec.max_in_flight is not None:
        _check(spec.max_in_flight, connections, "requests in flight", "max_in_flight")
        return spec
    by_memory = psutil.virtual_memory().available * MEMORY_SHARE / (USER_BYTES + _largest(mix))
    bound = max(1, min(most, connections, int(by_memory)))
    return spec.model_copy(update={"max_in_flight": bound})


def check_users(users: int) -> None:
    """See whether one process here can have so many users, each with a connection.

    Raises:
        ConfigError: it can't.
    """
    _check(users, file_limit() - RESERVED_FILES, "users", "users")


def _check(wanted: int, connections: int, what: str, option: str) -> None:
    if wanted > connections:
        raise ConfigError(
            f"{wanted} {what} need as many connections, and the processes here may open {connections}",
            field=option,
            hint=f"raise the hard limit of open files (ulimit -Hn), take more `workers`, or lower `{option}`",
        )


def _users(spec: LoadSpec) -> list[int]:
    return [spec.users or 1, *(stage.users_to for stage in planned_stages(spec))]


def _largest(mix: Mix) -> int:
    return max(len(body.body) for kind in mix.kinds for body in kind.bodies)
