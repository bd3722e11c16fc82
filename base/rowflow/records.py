"""A graph as plain records, and the verdict on its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

Number = int | float | bool
Place = tuple[str, int]  # an input and a dimension of it
MOST_NUMBERS = 64  # of a constant whose values a graph knows: axes, shapes, indices


class Mode(Enum):
    """What the rows are asked about."""

    JOIN = "join"
    PAD = "pad"


@dataclass(frozen=True)
class Constant:
    """A tensor that is the same in every inference. `numbers` in row-major order; None: too many to know."""

    shape: tuple[int, ...]
    kind: str = "f"
    numbers: tuple[Number, ...] | None = None
    finite: bool = False


@dataclass(frozen=True)
class Input:
    """What a request gives. A size is a number, a name that sizes share, or None where any goes.

    `kind` is numpy's: f, i, u or b.
    """

    name: str
    shape: tuple[int | str | None, ...] | None
    kind: str = "f"


@dataclass(frozen=True)
class Node:
    """One operator. `inputs` that are left out are empty; `bodies` are the graphs of If, Loop and Scan."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    name: str = ""
    bodies: Mapping[str, Graph] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """How a message names it."""
        title = self.name or next(filter(None, self.outputs), "")
        return f"{self.domain}.{self.operator} {title!r}" if self.domain else f"{self.operator} {title!r}"


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of computation. `opset` is that of ONNX's own operators."""

    nodes: tuple[Node, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Constant]
    opset: int


@dataclass(frozen=True)
class Verdict:
    """Whether rows are independent.

    `refuted`: an operator certainly mixes them. `unproved`: `cause` names what may do so.
    """

    word: Literal["proved", "refuted", "unproved"]
    cause: str = ""
    equal: tuple[tuple[Place, ...], ...] = ()  # dimensions of inputs that it takes to be of equal size

    @property
    def proved(self) -> bool:
        """Whether no row depends on another."""
        return self.word == "proved"

    @property
    def refuted(self) -> bool:
        """Whether rows certainly depend on one another."""
        return self.word == "refuted"


UNPROVED = Verdict("unproved", "nobody looked at its graph")
