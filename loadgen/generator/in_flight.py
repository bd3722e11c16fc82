"""How many requests may be in flight: what open files and memory of the generator's machine allow."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.generator.fleet import ALONE, Workers
from modeldyno.loadgen.generator.open_files import RESERVED_FILES, file_limit, local_ports
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.spec.stages import planned_stages

USER_BYTES = 64 * 1024
"""Of the generator's own memory, a user and its connection."""
MEMORY_SHARE = 0.5
"""Of what is available, for requests in flight."""


def with_bound(spec: LoadSpec, workers: Workers, mix: Mix, most: int) -> LoadSpec:
    """Fill in how many requests of an open loop may be in flight: `most`, or as many as this machine carries.

    Raises:
        ConfigError: this machine can't open as many connections as were asked for.
    """
    room = _room(workers)
    each = 2 if spec.follow_redirects else 1  # one of them is to where redirects lead
    if spec.rate_rps is None:
        _check(max(_users(spec)) * spec.samples_per_query, each, room, "users", "users")
        return spec
    if spec.max_in_flight is not None:
        _check(spec.max_in_flight, each, room, "requests in flight", "max_in_flight")
        return spec
    by_memory = psutil.virtual_memory().available * MEMORY_SHARE / (USER_BYTES + _largest(mix))
    bound = max(1, min(most, room.connections // each, int(by_memory)))
    return spec.model_copy(update={"max_in_flight": bound})


def check_users(users: int) -> None:
    """See whether one process here can have so many users, each with a connection.

    Raises:
        ConfigError: it can't.
    """
    _check(users, 1, _room(ALONE), "users", "users")


@dataclass(frozen=True)
class _Room:
    """How many connections there can be, and what would raise that."""

    connections: int
    hint: str = ""


def _room(workers: Workers) -> _Room:
    if workers.distributed and not workers.local:  # other machines have limits of their own
        return _Room(1 << 20)
    files = (file_limit() - RESERVED_FILES) * workers.number
    if workers.remote or files <= local_ports():
        return _Room(files, "raise the hard limit of open files (ulimit -Hn), take more `workers`")
    return _Room(
        local_ports(), "widen net.ipv4.ip_local_port_range, send from more machines (`expect_workers`)"
    )


def _check(wanted: int, each: int, room: _Room, what: str, option: str) -> None:
    if wanted * each > room.connections:
        many = f"{each} connections each" if each > 1 else "as many connections"
        raise ConfigError(
            f"{wanted} {what} need {many}, and the processes here may open {room.connections}",
            field=option,
            hint=f"{room.hint}, or lower `{option}`",
        )


def _users(spec: LoadSpec) -> list[int]:
    return [spec.users or 1, *(stage.users_to for stage in planned_stages(spec))]


def _largest(mix: Mix) -> int:
    return max(len(body.body) for kind in mix.kinds for body in kind.bodies)
