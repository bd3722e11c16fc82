"""What an exported torch program says of its inputs: each is followed to what reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.input_roles import Facts, Kind, Role, narrower

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

# Operators that give values of their first input as they are, or of any in a list of inputs.
_MOVES = frozenset(
    (
        *("view", "reshape", "unsqueeze", "squeeze", "expand", "expand_as", "permute", "transpose", "t"),
        *("slice", "select", "clone", "contiguous", "alias", "detach", "flatten", "unflatten", "repeat"),
        *("cat", "stack", "split", "chunk", "unbind", "flip", "roll", "movedim"),
    )
)
_CASTS = frozenset(("to", "_to_copy", "type_as", "long", "int"))
_ARITHMETIC = frozenset(
    (
        *("add", "sub", "rsub", "mul", "abs", "neg", "minimum", "maximum", "clamp", "where"),
        *("remainder", "fmod", "floor_divide", "div"),
    )
)
_COMPARES = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "logical_not", "logical_and", "bitwise_not"))
# Whole numbers in, one of them or a decision out: any value will do. Others overflow, each in its own way.
_SELECTS = frozenset(
    (
        *("argmax", "argmin", "amax", "amin", "max", "min", "sign", "sort", "topk", "minimum", "maximum"),
        *("clamp", "div", "floor_divide", "remainder", "fmod"),
    )
)
_SUMS = frozenset(("sum", "cumsum"))
_DIVIDES = frozenset(("div", "floor_divide", "remainder", "fmod"))
_SOFTMAX = frozenset(("softmax", "_softmax", "log_softmax", "_log_softmax"))
_CHANNELS = (1, 3, 4)


def torch_facts(program: ExportedProgram) -> Facts:
    """Read the roles of an exported program's inputs."""
    wanted = set(program.graph_signature.user_inputs)
    inputs = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted]
    roles = {node.name: role for node in inputs if (role := _role(node)) is not None}
    divides = any(_divides_whole(node) for node in program.graph.nodes)
    return Facts(roles=roles, divides=divides, deadly=_deadly if divides else lambda _feeds: "")


def _deadly(feeds: Mapping[str, Array]) -> str:
    """Say where the least whole number may be divided by -1: torch's division ends the process then."""
    whole = [array for array in feeds.values() if array.dtype.kind == "i"]
    least = any((array == np.iinfo(array.dtype).min).any() for array in whole)
    if least and any((array == -1).any() for array in whole):
        return "the least whole number would be divided by -1"
    return ""


def _name(node: Node) -> str:
    """Give an operator's name: embedding of aten.embedding.default."""
    parts = str(node.target).split(".")
    return parts[1] if len(parts) > 2 else parts[-1]


def _kind(node: Node) -> str:
    value: Any = node.meta.get("val") if hasattr(node, "meta") else None
    dtype = str(getattr(value, "dtype", "")).removeprefix("torch.")
    if not dtype or dtype.startswith("complex"):
        return ""
    return "b" if dtype == "bool" else "f" if "float" in dtype else "i"


def _shape(node: Node) -> tuple[int, ...]:
    value = node.meta.get("val") if hasattr(node, "meta") else None
    sizes = getattr(value, "shape", ())
    return tuple(int(size) for size in sizes) if all(isinstance(size, int) for size in sizes) else ()


def _role(node: Node) -> Role | None:
    kind = _kind(node)
    if kind == "f":
        return _float_role(node)
    if kind == "b":
        return Role("mask") if _reaches(node, _SOFTMAX) else Role()
    return _whole_role(node) if kind == "i" else None


def _float_role(node: Node) -> Role | None:
    shape = _shape(node)
    if len(shape) == 4 and (shape[1] in _CHANNELS or shape[3] in _CHANNELS) and _reaches(node, _CONVOLUTIONS):
        return Role("image")
    for reader, given in _readers(node):
        if _name(reader) == "scaled_dot_product_attention" and reader.args.index(given) == 3:
            return Role("mask", added=True)
        if _name(reader) == "add" and _is_added_mask(node, reader, given):
            return Role("mask", added=True)
    return None


_CONVOLUTIONS = frozenset(("conv2d", "convolution"))


def _is_added_mask(node: Node, reader: Node, given: Node) -> bool:
    """Whether an input is added to what was computed of others, before a softmax."""
    other = next((each for each in reader.args[:2] if each is not given), None)
    if getattr(other, "op", "") != "call_function" or node in _sources(other):
        return False
    return _reaches(reader, _SOFTMAX, frozenset(("add", *_CASTS)))


def _sources(node: Node) -> set[Node]:
    seen, ahead = {node}, [node]
    while ahead:
        for each in ahead.pop().all_input_nodes:
            if each not in seen:
                seen.add(each)
                ahead.append(each)
    return seen


def _readers(node: Node) -> Iterator[tuple[Node, Node]]:
    """Give who reads a value, or what was only moved of it, each with what it reads."""
    seen, ahead = {node}, [node]
    while ahead:
        given = ahead.pop()
        for reader in given.users:
            name = _name(reader)
            if reader.op == "output" or reader in seen or name == "_assert_tensor_metadata":
                continue
            alike = name in _CASTS and _kind(reader) == _kind(given)
            if name in _MOVES or alike or name == "getitem":
                seen.add(reader)
                ahead.append(reader)
            else:
                yield reader, given


def _reaches(
    node: Node, wanted: frozenset[str], through: frozenset[str] = _ARITHMETIC | _COMPARES | _CASTS
) -> bool:
    """Whether a value gets to one of some operators by way of element-wise ones."""
    seen, ahead = {node}, [node]
    while ahead:
        for reader in ahead.pop().users:
            if reader.op != "call_function" or reader in seen:
                continue
            name = _name(reader)
            if name in wanted:
                return True
            if name in through or name in _MOVES or name in ("masked_fill", "batch_norm"):
                seen.add(reader)
                ahead.append(reader)
    return False


def _whole_role(node: Node) -> Role:
    found: Role | None = None
    for reader, given in _readers(node):
        found = narrower(found, _read(reader, given))
    if (found is None or found.kind != "index") and _reaches(node, _SOFTMAX):
        return Role("mask")
    return found or Role("whole")


def _read(reader: Node, given: Node) -> Role:
    """Give the role of whole numbers that an operator reads."""
    name = _name(reader)
    if (index := _index(reader, given)) is not None:
        return index
    if name not in _ARITHMETIC:
        return Role(_plain_use(name))
    if _kind(reader) != "i":
        return Role("number")
    divides = name in _DIVIDES and len(reader.args) > 1 and reader.args[1] is given
    return narrower(_derived(reader), Role(_plain_use(name), divides=divides))


def _plain_use(name: str) -> Kind:
    """Give the role of whole numbers by what reads them and is no lookup."""
    if name in _SELECTS or name in _COMPARES:
        return "whole"
    return "number" if name in _ARITHMETIC or name in _SUMS or name in _CASTS else "unknown"


def _derived(node: Node) -> Role:
    """Give the role of whole numbers that are computed with: what is made of them may be an index."""
    found: Role | None = None
    seen, ahead = {node}, [node]
    while ahead:
        for reader, given in _readers(ahead.pop()):
            name = _name(reader)
            if reader in seen:
                continue
            if (index := _index(reader, given)) is not None:
                found = narrower(found, Role("index", (min(index.extents),)))
                continue
            if name in _ARITHMETIC:
                seen.add(reader)
                ahead.append(reader)
            found = narrower(found, Role(_plain_use(name)))
    return found or Role("whole")


def _along(node: Node, *, unique: bool = False) -> Role | None:
    """Give the role of an index along the dimension that an operator names second."""
    shape, axis = _shape(node.args[0]), node.args[1]
    if not shape or not isinstance(axis, int):
        return None
    return Role("index", (shape[axis],), unique=axis % len(shape) if unique else None)


def _written(node: Node) -> Role | None:
    """Give the role of a list of places, each of which is written once."""
    found = _along(node)
    return replace(found, unique=0) if found else None


def _rows(node: Node) -> Role | None:
    shape = _shape(node.args[0])
    return Role("index", (shape[0],)) if shape else None


def _bracket(node: Node, given: Node) -> Role | None:
    """x[i, j]: from the end too."""
    shape, indices = _shape(node.args[0]), node.args[1]
    sizes = [shape[at] for at, each in enumerate(indices) if each is given and at < len(shape)]
    if not sizes:
        return None
    written = _name(node).startswith("index_put") and len(indices) == 1 and len(_shape(given)) == 1
    return Role("index", (min(sizes),), from_end=True, unique=0 if written else None)


_BY_PLACE: dict[tuple[str, int], Callable[[Node], Role | None]] = {
    ("embedding", 1): _rows,
    ("embedding_bag", 1): _rows,
    **{(name, 2): _along for name in ("gather", "index_select", "index_add", "index_fill", "scatter_add")},
    ("scatter_reduce", 2): _along,
    ("scatter", 2): partial(_along, unique=True),
    ("index_copy", 2): _written,
    ("nll_loss", 1): lambda node: Role("index", (_shape(node.args[0])[1],)) if _shape(node.args[0]) else None,
}


def _index(node: Node, given: Node) -> Role | None:
    """Give the role of whole numbers that pick elements; None where they do not."""
    name = _name(node)
    if name in ("index", "index_put", "_unsafe_index") and isinstance(node.args[1], list | tuple):
        return _bracket(node, given)
    if name == "one_hot" and len(node.args) > 1 and isinstance(node.args[1], int) and node.args[1] > 0:
        return Role("index", (node.args[1],))
    place = next((at for at, each in enumerate(node.args) if each is given), -1)
    found = _BY_PLACE.get((name, place))
    return found(node) if found else None


def _divides_whole(node: Node) -> bool:
    return (
        node.op == "call_function"
        and _name(node) in _DIVIDES
        and all(_kind(each) == "i" for each in node.all_input_nodes)
        and len(node.args) > 1
        and (not isinstance(node.args[1], int) or node.args[1] == -1)
    )
