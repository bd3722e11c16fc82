"""Who takes part in a selection, at which load levels, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.trials.providers.base import Order, Provider
from modeldyno.trials.rounds.turns import Cell


@dataclass(frozen=True)
class Contender:
    """One candidate, and what it costs."""

    key: str
    order: Order
    levels: tuple[LoadSpec, ...]
    """Closed loops with a fixed number of users, without an address."""
    usd_per_hour: float
    anchor: str
    """Key of the uncompiled baseline that it is compared with; its own where it is one."""

    def cells(self) -> tuple[Cell, ...]:
        """One a level."""
        return tuple(Cell(cell_name(self.key, spec.users or 1), self.key, spec.users or 1) for spec in self.levels)


@dataclass(frozen=True)
class Lengths:
    """How long each cell is measured: all of its blocks together."""

    duration_s: float
    longest_s: float
    min_samples: int
    warmup_s: float
    timeout_s: float


@dataclass(frozen=True)
class Selection:
    """What is selected from."""

    contenders: tuple[Contender, ...]
    provider: Provider
    payload: Mix
    lengths: Lengths
    seed: int
    may_meet: Callable[[str, int, Sequence[object]], bool] = lambda *_: True
    tell: Callable[[str, float], None] = lambda *_: None
    """Hears what goes on, and about how many seconds are left."""
    warnings: Mapping[str, str] = field(default_factory=dict)

    def contender(self, key: str) -> Contender:
        """The one of this name."""
        return next(each for each in self.contenders if each.key == key)


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
