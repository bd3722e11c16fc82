"""From a torch.export program to a Relax module, by TVM's front end and converters of our own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from modeldyno.compiler.frontends.torch.puts import index_put

if TYPE_CHECKING:
    import tvm
    from torch.export import ExportedProgram
    from torch.fx import Node
    from tvm import relax
    from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter


def import_program(program: ExportedProgram) -> tvm.IRModule:
    """Import a program that was decomposed.

    Raises:
        Exception: whatever TVM's front end raises about an operator that it lacks or can't read.
    """
    from tvm.relax.frontend.torch import from_exported_program

    with warnings.catch_warnings():
        # TVM 0.27 uses names that torch 2.13 is about to rename: nothing that a user can act on.
        warnings.simplefilter("ignore", FutureWarning)
        return from_exported_program(
            program,
            unwrap_unit_return_tuple=True,
            run_ep_decomposition=False,
            custom_convert_map=_converters(),
        )


@lru_cache(maxsize=1)
def known_operators() -> frozenset[str]:
    """Names of the operators that TVM's front end and ours read, such as `add.Tensor`."""
    from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter

    return frozenset(ExportedProgramImporter().create_convert_map()) | frozenset(_converters())


def _converters() -> dict[str, Callable[[Node, ExportedProgramImporter], relax.Expr]]:
    """Operators that Relax has and TVM's front end does not read, or not for all types, by its names.

    With those that go by numbers of a request.
    """
    from modeldyno.compiler.frontends.torch.guards import guarded_converters

    return guarded_converters(_own())


def _own() -> dict[str, Callable[[Node, ExportedProgramImporter], relax.Expr]]:
    return {
        "amax.default": _extreme("max"),
        "amin.default": _extreme("min"),
        "div.Scalar_mode": _rounded_division,
        "div.Tensor_mode": _rounded_division,
        "group_norm.default": _group_norm,
        "index_put.default": index_put,
        "native_group_norm.default": _native_group_norm,
        "scatter_add.default": _scatter_add,
        "scatter_reduce.two": _scatter_reduce,
    }


def _extreme(name: str) -> Callable[[Node, ExportedProgramImporter], relax.Expr]:
    def convert(node: Node, importer: ExportedProgramImporter) -> relax.Expr:
        from tvm import relax

        given = dict(zip(("x", "dim", "keepdim"), node.args, strict=False)) | node.kwargs
        x, axes, keep = given["x"], list(given.get("dim", ())), given.get("keepdim", False)
        return importer.block_builder.emit(
            getattr(relax.op, name)(importer.env[x], axis=axes or None, keepdims=keep)
        )

    return convert


def _group_norm(node: Node, importer: ExportedProgramImporter) -> relax.Expr:
    given = dict(zip(("x", "groups", "weight", "bias", "eps"), node.args, strict=False)) | node.kwargs
    found = _rows_of_groups(importer, given)
    return importer._group_norm(node) if found is None else found


def _native_group_norm(node: Node, importer: ExportedProgramImporter) -> relax.Expr:
    names = ("x", "weight", "bias", "batch", "channels", "size", "groups", "eps")
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    found = _rows_of_groups(importer, given)
    return importer._native_group_norm(node) if found is None else found


def _rows_of_groups(importer: ExportedProgramImporter, given: dict[str, Any]) -> relax.Expr | None:
    """Normalize each group as a row: TVM's own takes E[x²] - E[x]², which cancels and may become negative.

    None for other types than float32.
    """
    from tvm import relax

    x, groups = importer.env[given["x"]], given["groups"]
    if str(x.ty.dtype) != "float32":
        return None
    shape = [int(size) for size in x.ty.shape]
    size = math.prod(shape) // (shape[0] * groups)
    ones, zeros = (relax.const(np.full(size, value, np.float32)) for value in (1, 0))
    rows = relax.op.reshape(x, [shape[0], groups, size])
    rows = relax.op.nn.layer_norm(rows, ones, zeros, axes=[-1], epsilon=given.get("eps", 1e-5))
    whole = importer.block_builder.emit(relax.op.reshape(rows, shape))
    for name, apply in (("weight", relax.op.multiply), ("bias", relax.op.add)):
        if given.get(name) is not None:
            each = [1, shape[1], *(1 for _ in shape[2:])]
            whole = importer.block_builder.emit(
                apply(whole, relax.op.reshape(importer.env[given[name]], each))
            )
    return whole


def _rounded_division(node: Node, importer: ExportedProgramImporter) -> relax.Expr:
    """Divide and round; a plain number gets the tensor's type, which TVM's front end does not give it."""
    from tvm import relax

    a, b = importer.retrieve_args(node)[:2]
    if isinstance(a, int | float):
        a = relax.const(a, b.ty.dtype.dtype)
    kind = a.ty.dtype.dtype
    if isinstance(b, float) and not kind.startswith("float"):
        kind = "float32"
        a = relax.op.astype(a, kind)
    if isinstance(b, int | float):
        b = relax.const(b, kind)
    rounding = node.kwargs["rounding_mode"]
    if rounding == "floor":
        return importer.block_builder.emit(relax.op.floor_divide(a, b))
    quotient = relax.op.divide(a, b)  # of whole numbers: towards zero
    return importer.block_builder.emit(relax.op.trunc(quotient) if kind.startswith("float") else quotient)


def _scatter_add(node: Node, importer: ExportedProgramImporter) -> relax.Expr:
    x, dim, index, updates = node.args
    return _scattered(importer, (x, index, updates), dim, "add")


_REDUCTIONS = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min"}


def _scatter_reduce(node: Node, importer: ExportedProgramImporter) -> relax.Expr:
    x, dim, index, updates, reduction = node.args
    if reduction not in _REDUCTIONS or not node.kwargs.get("include_self", True):
        raise NotImplementedError(f"{node.target} with {reduction!r} is not supported")
    return _scattered(importer, (x, index, updates), dim, _REDUCTIONS[reduction])


def _scattered(
    importer: ExportedProgramImporter, nodes: tuple[Node, Node, Node], dim: int, reduction: str
) -> relax.Expr:
    """Updates lie at the front of what is given for them: as many are used as there are indices."""
    from tvm import relax

    x, index, updates = (importer.env[node] for node in nodes)
    sizes = [int(size) for size in index.ty.shape]
    if sizes != [int(size) for size in updates.ty.shape]:
        axes = list(range(len(sizes)))
        updates = importer.block_builder.emit(
            relax.op.strided_slice(updates, axes=axes, begin=[0] * len(sizes), end=sizes)
        )
    return importer.block_builder.emit(
        relax.op.scatter_elements(x, index, updates, axis=dim, reduction=reduction)
    )
