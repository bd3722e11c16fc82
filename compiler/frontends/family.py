"""A model whose shapes are not fixed yet: what it declares, what runs it at any shape, and itself at one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modeldyno.base.rowflow.records import Graph
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.fixed_shapes import Shapes
from modeldyno.compiler.model.shapes import Declared, Template
from modeldyno.compiler.model.source import Source


@dataclass(frozen=True)
class Family:
    """One model at many shapes. `reference` runs the source model on inputs of any shape that it takes.

    `graph` gives its graph with the template's axes open; None where there is none. `divisors` names the
    inputs that whole numbers are divided by. `rounded` as in Source.
    """

    name: str
    declared: Declared
    dtypes: dict[str, str]
    at: Callable[[Shapes], Source]
    reference: Callable[[dict[str, Array]], dict[str, Array]]
    graph: Callable[[Template], Graph] | None = None
    divisors: Callable[[], frozenset[str]] = frozenset
    rounded: frozenset[str] = frozenset()
