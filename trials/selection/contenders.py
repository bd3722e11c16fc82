"""Who takes part in a selection, at which load levels, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.trials.providers.base import Order
from modeldyno.trials.rounds.turns import Cell


@dataclass(frozen=True)
class Contender:
    """One candidate."""

    key: str
    order: Order
    levels: tuple[LoadSpec, ...]
    """Closed loops with a fixed number of users, without an address."""
    anchor: str
    """Key of the uncompiled baseline that it is compared with; its own where it is one."""
    larger: tuple[Order, ...] = ()
    """The same with more memory, least first: tried where `order` is killed for exceeding its own."""

    def cells(self) -> tuple[Cell, ...]:
        """One a level."""
        return tuple(
            Cell(cell_name(self.key, spec.users or 1), self.key, spec.users or 1) for spec in self.levels
        )


@dataclass(frozen=True)
class Lengths:
    """How long each cell is measured: all of its blocks together."""

    duration_s: float
    longest_s: float
    min_samples: int
    warmup_s: float
    timeout_s: float


def cell_name(key: str, users: int) -> str:
    """A cell's name; `contender_of` takes it apart."""
    return f"{key}@{users}"


def contender_of(cell: str) -> str:
    """The contender's key.

    >>> contender_of("c7a.large_compiled_t2_w1@4")
    'c7a.large_compiled_t2_w1'
    """
    return cell.rpartition("@")[0]


def users_of(cell: str) -> int:
    """How many users a cell has."""
    return int(cell.rpartition("@")[2])
