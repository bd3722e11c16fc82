"""`x[:, i, j] = v` of torch as one scatter: TVM's front end takes it that there is a value for each index."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from modeldyno.compiler.graph.rewrite import shape_of

if TYPE_CHECKING:
    from torch.fx import Node
    from tvm import relax
    from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter


def index_put(node: Node | SimpleNamespace, importer: ExportedProgramImporter) -> relax.Expr:
    """Put values where the indices say, in order: of two for one place the last stays, or both are added.

    Raises:
        NotImplementedError: an index is a mask.
    """
    from tvm import relax

    x, indices, values = importer.retrieve_args(node)[:3]
    add = bool(node.args[3]) if len(node.args) > 3 else bool(node.kwargs.get("accumulate", False))
    emit, shape = importer.block_builder.emit, _known(x)
    places = [axis for axis, index in enumerate(indices) if index is not None]
    rest = [axis for axis in range(len(shape)) if axis not in places]
    chosen = [indices[axis] for axis in places]
    if any(str(index.ty.dtype) == "bool" for index in chosen):
        raise NotImplementedError(f"{node.target} by a mask")
    joined = _broadcast([_known(index) for index in chosen])
    sizes = [shape[axis] for axis in rest]
    # Where torch has the axes that the indices gain: before the first that they stand for, or before all.
    first = places[0] if places[-1] - places[0] < len(places) else 0
    wanted = [*sizes[:first], *joined, *sizes[first:]]
    updates = emit(relax.op.broadcast_to(values, wanted))
    if first and joined:
        gained = list(range(first, first + len(joined)))
        others = [axis for axis in range(len(wanted)) if axis not in gained]
        updates = emit(relax.op.permute_dims(updates, [*gained, *others]))
    order = [*places, *rest]
    moved = order != sorted(order)
    data = emit(relax.op.permute_dims(x, order)) if moved else x
    index = _as_coordinates(importer, chosen, joined)
    found = emit(relax.op.scatter_nd(data, index, updates, "add" if add else "update"))
    return (
        emit(relax.op.permute_dims(found, [order.index(axis) for axis in range(len(order))]))
        if moved
        else found
    )


def _as_coordinates(
    importer: ExportedProgramImporter, indices: list[relax.Expr], joined: tuple[int, ...]
) -> relax.Expr:
    """Lay indices side by side, as columns of a last axis."""
    from tvm import relax

    emit = importer.block_builder.emit
    columns = []
    for index in indices:
        wide = index if str(index.ty.dtype) == "int64" else emit(relax.op.astype(index, "int64"))
        columns.append(emit(relax.op.expand_dims(emit(relax.op.broadcast_to(wide, joined)), -1)))
    return emit(relax.op.concat(columns, axis=-1)) if len(columns) > 1 else columns[0]


def _known(x: relax.Expr) -> tuple[int, ...]:
    shape = shape_of(x)
    if shape is None:
        raise NotImplementedError("indices whose shape only a run tells")
    return shape


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    import numpy as np

    return tuple(int(size) for size in np.broadcast_shapes(*shapes))
