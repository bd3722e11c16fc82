"""Load levels: what tells one from another, and its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import Row


class Level(NamedTuple):
    """Users of a closed loop, arrivals a second of an open one, or the name of a part of a longer test."""

    users: int | None
    rate_rps: float | None
    stage: str = ""


def level_of(found: LoadSpec | Row) -> Level:
    """The level that a load test, or a row, was taken at."""
    return Level(found.users, found.rate_rps, found.stage)


def users_name(users: int) -> str:
    """Name a number of users: `1 user`, `4 users`."""
    return f"{users} user{'' if users == 1 else 's'}"


def level_name(
    level: Level, rate_name: Callable[[float], str], users_name: Callable[[int], str] = users_name
) -> str:
    """Name a level: by its stage, else its users, else its rate; empty where it has none of them."""
    if level.stage:
        return level.stage
    if level.users is not None:
        return users_name(level.users)
    return "" if level.rate_rps is None else rate_name(level.rate_rps)
