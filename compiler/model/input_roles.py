"""What a model's graph says of its inputs: which values they may hold, and which of them matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from modeldyno.compiler.model.arrays import Array

Kind = Literal["plain", "unknown", "index", "length", "number", "whole", "mask", "image"]


@dataclass(frozen=True)
class Role:
    """What one input is.

    plain: a float or bool of which nothing is known. unknown: whole numbers that go where nothing is known.
    index: of an element, below `extents`. length: 0 to `extents`. number: whole numbers that are computed
    with. whole: those that are only compared, selected or divided. mask: what is left out of a softmax.
    image: of 1, 3 or 4 channels.

    `extents` holds one size, or one for each place of the last axis. `from_end` says that negative indices
    count from the end. `unique` is the axis along which no index may come twice (None: any may), -1 where the
    last axis holds the coordinates of one element. `divides`: no value may be zero. `added`: a mask of 0
    and -inf is added; others are of 0 and 1.
    """

    kind: Kind = "plain"
    extents: tuple[int, ...] = ()
    from_end: bool = False
    unique: int | None = None
    divides: bool = False
    added: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of a model's inputs, by name; those that are missing are plain, or of unknown use.

    `exact` names the outputs behind which no operator rounds: they select, compare and move values.
    `divides` is whether whole numbers are divided by what is no constant. `deadly` says why some inputs would
    end the process of the reference; empty where they would not.
    """

    roles: Mapping[str, Role] = field(default_factory=dict)
    exact: frozenset[str] = frozenset()
    divides: bool = False
    deadly: Callable[[Mapping[str, Array]], str] = lambda _feeds: ""

    def divisors(self) -> frozenset[str]:
        """Names of the inputs that are divided by."""
        return frozenset(name for name, role in self.roles.items() if role.divides)

    def role(self, name: str, dtype: str) -> Role:
        """Give what is known of an input."""
        known = self.roles.get(name)
        if known is not None:
            return known
        return Role("unknown") if dtype.startswith(("int", "uint")) else Role()


def narrower(one: Role | None, other: Role) -> Role:
    """Give the role of an input that has two: an index of two tables is one of the smaller."""
    if one is None:
        return other
    first, second = sorted((one, other), key=lambda role: _ORDER.index(role.kind))
    same = first.kind == second.kind and len(first.extents) == len(second.extents)
    return Role(
        kind=first.kind,
        extents=tuple(map(min, first.extents, second.extents)) if same else _smallest(first, second),
        from_end=first.from_end and (second.from_end or second.kind not in ("index", "length")),
        unique=first.unique if first.unique is not None else second.unique,
        divides=first.divides or second.divides,
        added=first.added and (second.added or second.kind == "plain"),
    )


_ORDER: tuple[Kind, ...] = ("unknown", "index", "length", "mask", "image", "number", "whole", "plain")


def _smallest(first: Role, second: Role) -> tuple[int, ...]:
    if first.kind == second.kind and second.extents:
        return (min(*first.extents, *second.extents),)
    if second.kind in ("index", "length") and first.kind in ("index", "length") and second.extents:
        return (min(*first.extents, *second.extents),)
    return first.extents
