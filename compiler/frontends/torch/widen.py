"""Programs of torch in float16 or bfloat16, written in float32: weights, constants, and types that are named.

A float16 input or output keeps its type, with a cast behind or before it. A bfloat16 one becomes float32:
numpy has no bfloat16, and float32 holds each of its numbers.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from modeldyno.base.errors import ModelError, first_line
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.precision.formats import BFLOAT16, FLOAT16

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Graph, GraphModule, Node

    from modeldyno.compiler.model.fixed_shapes import Shapes
    from modeldyno.compiler.model.source import Source

Run = Callable[[dict[str, Array]], dict[str, Array]]
_NAMES = (FLOAT16.name, BFLOAT16.name)
_SHAPES_KEPT = 8  # programs of different shapes that a reference keeps


def name_of(dtype: object) -> str:
    """Name a type of torch's."""
    return str(dtype).removeprefix("torch.")


def narrow_kinds(program: ExportedProgram) -> frozenset[str]:
    """Name the narrow formats that a program holds numbers in, or computes in."""
    tensors = [*program.state_dict.values(), *program.constants.values()]
    tensors += [node.meta.get("val") for node in program.graph.nodes]
    found = {name_of(dtype) for each in tensors if (dtype := getattr(each, "dtype", None)) is not None}
    return frozenset(found & set(_NAMES))


def widened(program: ExportedProgram, name: str) -> ExportedProgram:
    """Give a program of fixed shapes in float32; the given one stays as it is.

    Raises:
        ModelError: torch can't export it so.
    """
    import torch

    example = torch.utils._pytree.tree_map(_example, program.example_inputs or ((), {}))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # torch's own copying of a program uses names that torch is about to rename.
            warnings.simplefilter("ignore", FutureWarning)
            module = copy.deepcopy(program.module())
            _widen_state(module)
            _widen_graph(module)
            return torch.export.export(module, *example)
    except Exception as error:  # torch.export has no error base of its own
        raise ModelError(
            f"{name} can't be written in float32 ({first_line(error)}): export it after .float()"
        ) from error


def _is_narrow(value: object) -> bool:
    return name_of(getattr(value, "dtype", "")) in _NAMES


def _example(value: Any) -> Any:
    return value.float() if name_of(getattr(value, "dtype", "")) == BFLOAT16.name else value


def _widen_state(module: torch.nn.Module) -> None:
    """Widen parameters, buffers and plain constants, of modules inside too."""
    import torch

    for part in module.modules():
        for key, value in list(vars(part).items()):
            if isinstance(value, torch.Tensor) and _is_narrow(value):
                setattr(part, key, value.float())
        for kept in (part._parameters, part._buffers):
            for key, tensor in kept.items():
                if tensor is not None and _is_narrow(tensor):
                    wide = tensor.detach().float()
                    kept[key] = (
                        torch.nn.Parameter(wide, requires_grad=False) if kept is part._parameters else wide
                    )


def _widen_graph(module: torch.nn.Module) -> None:
    import torch

    for part in module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                if getattr(node.target, "__name__", "") == "wrap_with_autocast":
                    node.args = (
                        *node.args[:2],
                        False,
                        *node.args[3:],
                    )  # its types are not named in the graph
                    continue
                node.args, node.kwargs = torch.fx.node.map_aggregate((node.args, node.kwargs), _wide_type)
            if part is module:
                _widen_ends(part)
            part.recompile()


def _wide_type(value: Any) -> Any:
    import torch

    return torch.float32 if isinstance(value, torch.dtype) and name_of(value) in _NAMES else value


def _widen_ends(module: GraphModule) -> None:
    """Cast what comes in and goes out as float16."""
    graph = module.graph
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    (output,) = (node for node in graph.nodes if node.op == "output")
    for node in inputs:
        if _half(node):
            with graph.inserting_after(inputs[-1]):
                cast = _cast(graph, node, "float32")
            node.replace_all_uses_with(cast, delete_user_cb=lambda user, made=cast: user is not made)
    found: dict[Node, Node] = {}
    for node in output.all_input_nodes:
        origin = node.args[0] if node.op == "call_function" and node.args and node.args[0] in inputs else node
        if _half(node) or _half(origin):
            with graph.inserting_before(output):
                found[node] = _cast(graph, node, "float16")
    output.args = tuple(_replaced(each, found) for each in output.args)


def _replaced(value: Any, found: Mapping[Node, Node]) -> Any:
    """Give what a graph returns with some nodes replaced."""
    import torch

    return torch.fx.node.map_arg(value, lambda node: found.get(node, node))


def _half(node: Node) -> bool:
    return name_of(getattr(node.meta.get("val"), "dtype", "")) == FLOAT16.name


def _cast(graph: Graph, node: Node, kind: str) -> Node:
    import torch

    return graph.call_function(torch.ops.aten.to.dtype, (node, getattr(torch, kind)))


def reference_at(at: Callable[[Shapes], Source]) -> Run:
    """Run a program of open shapes in float32: it is written anew for each shape, and few are kept."""

    @lru_cache(maxsize=_SHAPES_KEPT)
    def fixed(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> Run:
        return at(dict(shapes)).reference

    def run(feeds: dict[str, Array]) -> dict[str, Array]:
        return fixed(tuple((name, array.shape) for name, array in feeds.items()))(feeds)

    return run
