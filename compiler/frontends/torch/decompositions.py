"""Operators of torch written as simpler ones, where TVM's front end lacks, refuses or misreads them.

A definition is in the form that torch's table of decompositions has: a function of the operator's arguments
that computes it with other operators, or gives NotImplemented where the operator may stay as it is. Ours come
first, then torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from modeldyno.compiler.frontends.torch.definitions import own_definitions
from modeldyno.compiler.frontends.torch.guards import marked_definitions

if TYPE_CHECKING:
    from torch._ops import OpOverload
    from torch.export import ExportedProgram
    from torch.export.decomp_utils import CustomDecompTable

Definition = Callable[..., Any]
# Each round can bring in operators that have a definition of their own.
_ROUNDS = 6


def decomposed(program: ExportedProgram, known: Collection[str]) -> tuple[ExportedProgram, tuple[str, ...]]:
    """Give the program in operators that the front end knows, as far as can be, and which were taken apart.

    `known` are the front end's names of operators, such as `add.Tensor`.
    """
    import torch

    used: set[str] = set()
    table = torch.export.default_decompositions()
    for operator, definition in {**own_definitions(), **marked_definitions()}.items():
        table[operator] = _noted(operator, definition, used)
    taken = program.run_decompositions(dict(table.items()))
    for _ in range(_ROUNDS):
        news = _torchs_definitions(taken, known, table)
        if not news:
            break
        table.update({operator: _noted(operator, found, used) for operator, found in news.items()})
        taken = program.run_decompositions(dict(table.items()))
    return taken, tuple(sorted(used))


def missing_operators(program: ExportedProgram, known: Collection[str]) -> tuple[str, ...]:
    """Name the operators that the front end does not know, as torch calls them."""
    return tuple(sorted({str(target) for target in _called(program) if target.__name__ not in known}))


def _torchs_definitions(
    program: ExportedProgram, known: Collection[str], table: CustomDecompTable
) -> dict[OpOverload, Definition]:
    # torch's table has no public home: torch.export.default_decompositions() is only the part of it that ends
    # in the operators of "Core ATen".
    from torch._decomp import decomposition_table

    unknown = (target for target in _called(program) if target.__name__ not in known)
    return {
        target: decomposition_table[target]
        for target in unknown
        if target in decomposition_table and target not in table
    }


def _noted(operator: OpOverload, definition: Definition, used: set[str]) -> Definition:
    def noted(*args: Any, **kwargs: Any) -> Any:
        result = definition(*args, **kwargs)
        if result is not NotImplemented:
            used.add(str(operator))
        return result

    return noted


def _called(program: ExportedProgram) -> set[OpOverload]:
    return {node.target for node in program.graph.nodes if node.op == "call_function"}
