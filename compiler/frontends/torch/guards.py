"""Converters of torch's operators that mark what compiled code goes by: indices and whole divisors.

Operators that come apart before TVM's front end sees them are marked in the program instead (`within`), while
their own name is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from modeldyno.compiler.graph.rewrite import shape_of
from modeldyno.compiler.guards.marks import Mark, index_mark, mark

if TYPE_CHECKING:
    import torch
    from torch._ops import OpOverload
    from torch.fx import Node
    from tvm import relax
    from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter

Converter: TypeAlias = "Callable[[Node, ExportedProgramImporter], relax.Expr]"
# From the node and the importer: which nodes are indices, into axes of which sizes.
Indices: TypeAlias = "Callable[[Node, ExportedProgramImporter], Iterator[tuple[Node, Sequence[int]]]]"


def guarded_converters(own: Mapping[str, Converter]) -> dict[str, Converter]:
    """Give `own` converters and TVM's, by the front end's names, such that they mark what must be checked."""
    found = dict(own)
    for name, (indices, from_end) in _INDEXED.items():
        found[name] = partial(_indexed, name=name, plain=own.get(name), indices=indices, from_end=from_end)
    for name in _BY_AXES:
        found[name] = partial(_indexed_by_axes, name=name, plain=own.get(name))
    for name in _DIVISIONS:
        found[name] = partial(_divided, name=name, plain=own.get(name))
    found["within.default"] = _within
    found |= dict.fromkeys(("_assert_async.default", "_assert_async.msg"), _asserted)
    return {name: partial(_in_main, converter) for name, converter in found.items()}


def _in_main(converter: Converter, node: Node, importer: ExportedProgramImporter | None = None) -> relax.Expr:
    if importer is None:  # as TVM calls converters within the functions that branches become
        raise NotImplementedError(f"{node.target} in a branch: what it goes by can't be checked there")
    return converter(node, importer)


def _indexed(
    node: Node,
    importer: ExportedProgramImporter,
    *,
    name: str,
    plain: Converter | None,
    indices: Indices,
    from_end: bool,
) -> relax.Expr:
    marked = {}
    for index, sizes in indices(node, importer):
        what = index_mark(_named(node, index), sizes, from_end=from_end)
        marked[index] = importer.block_builder.emit(mark(importer.env[index], what))
    return _converted(node, importer, name, plain, marked)


def _indexed_by_axes(
    node: Node, importer: ExportedProgramImporter, *, name: str, plain: Converter | None
) -> relax.Expr:
    """Mark each for its own axis: one and the same may index two."""
    shape = _shape(node.args[0], importer)
    indices = [
        None if index is None else _of_axis(node, importer, index, shape[axis])
        for axis, index in enumerate(node.args[1])
    ]
    changed = SimpleNamespace(
        args=(node.args[0], indices, *node.args[2:]), kwargs=node.kwargs, target=node.target, name=node.name
    )
    return _converted(changed, importer, name, plain, {})


def _of_axis(node: Node, importer: ExportedProgramImporter, index: Node, size: int) -> relax.Expr:
    x = importer.env[index]
    if not _is_whole(x):  # a mask
        return x
    what = index_mark(_named(node, index), [size], from_end=True)
    return importer.block_builder.emit(mark(x, what))


def _divided(
    node: Node, importer: ExportedProgramImporter, *, name: str, plain: Converter | None
) -> relax.Expr:
    divisor = node.args[1]
    whole = [isinstance(each, int) or _is_whole(importer.env.get(each)) for each in node.args[:2]]
    if not all(whole) or isinstance(divisor, int):
        return _converted(node, importer, name, plain, {})
    safe = importer.block_builder.emit(mark(importer.env[divisor], _named(node, divisor)))
    return _converted(node, importer, name, plain, {divisor: safe})


def _converted(
    node: Node | SimpleNamespace,
    importer: ExportedProgramImporter,
    name: str,
    plain: Converter | None,
    instead: Mapping[Node, relax.Expr],
) -> relax.Expr:
    """Convert a node as it would be without us, with other values for some of its arguments."""
    kept = {index: importer.env[index] for index in instead}
    importer.env.update(instead)
    try:
        return plain(node, importer) if plain else importer.create_convert_map()[name](node)
    finally:
        importer.env.update(kept)


def _named(node: Node, given: Node) -> Mark:
    return Mark(str(node.target), node.name, given.name)


def _is_whole(x: relax.Expr | None) -> bool:
    return str(getattr(getattr(x, "ty", None), "dtype", "")).startswith(("int", "uint"))


def _argument(node: Node, place: int, name: str, default: object = None) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _shape(node: Node, importer: ExportedProgramImporter) -> tuple[int, ...]:
    shape = shape_of(importer.env[node])
    if shape is None:
        raise NotImplementedError(f"an index into {node.name!r}, whose shape only a run tells")
    return shape


def _along(place: int, dim: int = 1) -> Indices:
    """Give the index that is argument `place`, into the dimension that is argument `dim`."""

    def indices(node: Node, importer: ExportedProgramImporter) -> Iterator[tuple[Node, Sequence[int]]]:
        names = {1: "dim", 2: "index"}
        shape = _shape(node.args[0], importer) or (1,)
        yield (
            _argument(node, place, names[place]),
            [shape[int(_argument(node, dim, "dim", 0))]],
        )

    return indices


def _rows(node: Node, importer: ExportedProgramImporter) -> Iterator[tuple[Node, Sequence[int]]]:
    yield node.args[1], [_shape(node.args[0], importer)[0]]


def _elements(node: Node, importer: ExportedProgramImporter) -> Iterator[tuple[Node, Sequence[int]]]:
    yield node.args[1], [math.prod(_shape(node.args[0], importer))]


def _classes(node: Node, _importer: ExportedProgramImporter) -> Iterator[tuple[Node, Sequence[int]]]:
    yield node.args[0], [int(_argument(node, 1, "num_classes"))]


# Those with an index for each axis, which count from the end.
_BY_AXES = ("index.Tensor", "index_put.default")
# By the front end's names: the indices, and whether negative ones count from the end.
_INDEXED: dict[str, tuple[Indices, bool]] = {
    "embedding.default": (_rows, False),
    "gather.default": (_along(2), False),
    "index_select.default": (_along(2), False),
    "one_hot.default": (_classes, False),
    "scatter.src": (_along(2), False),
    "scatter.value": (_along(2), False),
    "scatter_add.default": (_along(2), False),
    "scatter_reduce.two": (_along(2), False),
    "take.default": (_elements, True),
}
_DIVISIONS = (
    *("div.Tensor", "div.Tensor_mode", "floor_divide.default", "floordiv", "fmod.Tensor", "mod"),
    "remainder.Tensor",
)


def marked_definitions() -> dict[OpOverload, Callable[..., Any]]:
    """Give torch's own definitions of operators that come apart, with a mark on the index among arguments."""
    import torch
    from torch._decomp import decomposition_table  # torch's table has no public home

    aten = torch.ops.aten
    found: dict[OpOverload, Callable[..., Any]] = {}
    for operator in (
        *(aten.index_add.default, aten.index_copy.default, aten.index_fill.int_Scalar),
        *(aten.index_fill.int_Tensor, aten.max_unpool2d.default, aten.max_unpool3d.default),
    ):
        if operator in decomposition_table:
            sizes = _size_of_planes if "unpool" in str(operator) else _size_of_axis
            marked = partial(_marked, str(operator), decomposition_table[operator], sizes)
            found[operator] = partial(marked, from_end="index_fill" in str(operator))
    return found


def _marked(
    name: str,
    definition: Callable[..., Any],
    size: Callable[..., tuple[int, int]],
    *args: Any,
    from_end: bool,
    **kwargs: Any,
) -> Any:
    place, places = size(*args)
    index = _within_operator()(args[place], places, from_end, name)
    return definition(*args[:place], index, *args[place + 1 :], **kwargs)


def _size_of_axis(x: torch.Tensor, dim: int, *_: object) -> tuple[int, int]:
    return 2, x.shape[dim] if x.dim() else 1


def _size_of_planes(
    _x: torch.Tensor, _index: torch.Tensor, output_size: Sequence[int], *_: object
) -> tuple[int, int]:
    return 1, math.prod(output_size)


@lru_cache(maxsize=1)
def _within_operator() -> OpOverload:
    """Give torch an operator, `dyno::within(x, size, from_end, operator)`: `x`, indices of `size` places."""
    import torch

    torch.library.define("dyno::within", "(Tensor x, int size, bool from_end, str operator) -> Tensor")
    torch.library.impl("dyno::within", "CompositeExplicitAutograd", lambda x, *_: x.clone())
    torch.library.register_fake("dyno::within", lambda x, *_: torch.empty_like(x))
    return torch.ops.dyno.within.default


def _within(node: Node, importer: ExportedProgramImporter) -> relax.Expr:
    x, size, from_end, operator = node.args
    what = index_mark(Mark(operator, node.name, x.name), [int(size)], from_end=bool(from_end))
    return importer.block_builder.emit(mark(importer.env[x], what))


def _asserted(node: Node, importer: ExportedProgramImporter) -> relax.Expr:
    """Mark what torch asserts of a request's numbers: it must be 1, and is 0 where it does not hold."""
    from tvm import relax

    emit = importer.block_builder.emit
    said = str(_argument(node, 1, "assert_msg", "an assertion does not hold"))
    holds = emit(relax.op.astype(importer.env[node.args[0]], "int32"))
    what = Mark(str(node.target), node.name, node.args[0].name, low=(1,), high=(1,), message=said)
    return emit(mark(holds, what))
