"""PyTorch: an nn.Module with example inputs; imports torch when called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from modeldyno.base.errors import ModelError, first_line
from modeldyno.base.rowflow.records import Graph
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.frontends.torch.graph import open_sizes, program_records
from modeldyno.compiler.frontends.torch.program import (
    arguments,
    dtype_of,
    imported_torch,
    is_rewritten,
    reference_of,
    source_of,
    tensor_inputs,
    tried,
)
from modeldyno.compiler.frontends.torch.roles import torch_facts
from modeldyno.compiler.frontends.torch.state import left_alone, refuse_state
from modeldyno.compiler.frontends.torch.widen import reference_at
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.fixed_shapes import Shapes
from modeldyno.compiler.model.shapes import Template
from modeldyno.compiler.model.source import Source

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def read_module(
    module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
) -> Source:
    """Export an nn.Module with example inputs; their shapes are the compiled ones.

    Raises:
        ModelError: torch can't export the module.
    """
    program = _exported(module, args, kwargs)
    name = type(module).__name__
    source = source_of(program, name, _digest_state(program), {})
    # What the module keeps in Python is a constant of the program: only the module itself shows it.
    with left_alone(module):
        tried(reference_of(program, module), source.inputs, torch_facts(program), name)
    return source


def module_family(
    module: torch.nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    is_open: Callable[[str, int], bool],
) -> Family:
    """Open an nn.Module; `is_open` says which dimensions of an input may differ from the example's.

    It is exported anew for each shape, so that nothing in it has to be traced for sizes that are not known.

    Raises:
        ModelError: torch can't export the module.
    """
    torch = imported_torch()
    example = _exported(module, args, kwargs)
    tensors = tensor_inputs(example)

    def at(shapes: Shapes) -> Source:
        made = {name: torch.zeros(shapes[name], dtype=value.dtype) for name, value in tensors.items()}
        return read_module(module, *arguments(example, made))

    return Family(
        name=type(module).__name__,
        declared={
            name: tuple(None if is_open(name, at) else int(size) for at, size in enumerate(value.shape))
            for name, value in tensors.items()
        },
        dtypes={name: dtype_of(name, value) for name, value in tensors.items()},
        at=at,
        reference=reference_at(at)
        if is_rewritten(example)
        else _undisturbed(reference_of(example, module), module),
        graph=partial(_open_graph, module, example),
        divisors=lambda: torch_facts(example).divisors(),
    )


def _open_graph(module: torch.nn.Module, example: ExportedProgram, template: Template) -> Graph:
    """Export a module again with the template's axes open."""
    torch = imported_torch()
    shapes, dims = open_sizes(template)
    tensors = tensor_inputs(example)
    made = {name: torch.zeros(shapes[name], dtype=value.dtype) for name, value in tensors.items()}
    open_ = torch.export.ShapesCollection()
    for name, found in dims.items():
        open_[made[name]] = found
    args, kwargs = arguments(example, made)
    with torch.no_grad():
        program = torch.export.export(module.eval(), args, kwargs, dynamic_shapes=open_)
    return program_records(program)


def _exported(
    module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None
) -> ExportedProgram:
    torch = imported_torch()
    try:
        with left_alone(module), torch.no_grad():
            program = torch.export.export(module, tuple(args), dict(kwargs or {}))
    except Exception as error:
        # torch.export has no error base of its own.
        raise ModelError(f"torch.export can't export {type(module).__name__}: {first_line(error)}") from error
    refuse_state(program, type(module).__name__)
    return program


def _undisturbed(
    run: Callable[[dict[str, Array]], dict[str, Array]], module: torch.nn.Module
) -> Callable[[dict[str, Array]], dict[str, Array]]:
    """Give what runs a module as one that leaves it as it was."""

    def apart(feeds: dict[str, Array]) -> dict[str, Array]:
        with left_alone(module):
            return run(feeds)

    return apart


def _digest_state(program: ExportedProgram) -> str:
    """Digest of a module that has no file: its graph and its weights."""
    state = hashlib.blake2b(str(program.graph).encode(), digest_size=32)
    for name, tensor in sorted(program.state_dict.items()):
        state.update(name.encode())
        # As bytes: numpy has no bfloat16.
        state.update(tensor.detach().contiguous().reshape(-1).view(imported_torch().uint8).numpy().tobytes())
    return state.hexdigest()
