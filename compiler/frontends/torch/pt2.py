"""PyTorch programs saved by `torch.export.save` (`.pt2`); imports torch when called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modeldyno.base.digests import digest_files
from modeldyno.base.errors import ModelError, first_line
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.frontends.torch.graph import program_records
from modeldyno.compiler.frontends.torch.program import (
    dtype_of,
    imported_torch,
    is_rewritten,
    reference_of,
    source_of,
    tensor_inputs,
)
from modeldyno.compiler.frontends.torch.pt2_archive import (
    check_example_inputs,
    check_pt2,
    mentions,
    written_by,
)
from modeldyno.compiler.frontends.torch.quantised import NAMESPACE, register
from modeldyno.compiler.frontends.torch.roles import torch_facts
from modeldyno.compiler.frontends.torch.state import refuse_state
from modeldyno.compiler.frontends.torch.widen import reference_at
from modeldyno.compiler.model.fixed_shapes import Shapes
from modeldyno.compiler.model.source import Source, check_model_file

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def read_pt2(path: Path, shapes: Shapes) -> Source:
    """Read a program saved by `torch.export.save`.

    Raises:
        ModelError: missing, empty, damaged, torch is not installed, or an input has no fixed shape.
        ConfigError: `shapes` does not fit the program's inputs.
    """
    return source_of(_load(path), path.name, digest_files([path]), shapes)


def pt2_family(path: Path) -> Family:
    """Open a program saved by `torch.export.save` whose shapes are to be fixed later.

    Raises:
        ModelError: missing, empty, damaged, or torch is not installed.
    """
    program = _load(path)
    digest = digest_files([path])
    tensors = tensor_inputs(program)

    def at(shapes: Shapes) -> Source:
        return source_of(program, path.name, digest, shapes)

    return Family(
        name=path.name,
        declared={
            name: tuple(size if isinstance(size, int) else str(size) for size in value.shape)
            for name, value in tensors.items()
        },
        dtypes={name: dtype_of(name, value) for name, value in tensors.items()},
        at=at,
        reference=reference_at(at) if is_rewritten(program) else reference_of(program, program.module()),
        graph=lambda _template: program_records(program),
        divisors=lambda: torch_facts(program).divisors(),
    )


def _load(path: Path) -> ExportedProgram:
    check_model_file(path)
    check_pt2(path)
    torch = imported_torch()
    check_example_inputs(path, torch.load)
    if mentions(path, NAMESPACE):
        register()
    try:
        program = torch.export.load(path)
    except Exception as error:
        # torch raises many kinds here (zip, JSON, KeyError, RuntimeError); none of them says what the file
        # is.
        other, here = written_by(path), torch.__version__
        way_out = (
            f". It was written by torch {other}, and here is torch {here}: export it again with this one"
        )
        raise ModelError(
            f"{path} is no readable torch.export program (.pt2): {first_line(error).rstrip(' .')}"
            f"{way_out if other and other != here else ''}"
        ) from error
    refuse_state(program, path.name)
    return program
