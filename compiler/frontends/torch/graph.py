"""The graph of a torch model with open sizes, by way of the ONNX file that torch writes of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeldyno.base.rowflow.records import Graph
from modeldyno.compiler.frontends.torch.import_paths import write_onnx
from modeldyno.compiler.model.shapes import FreeAxis, Template

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def program_records(program: ExportedProgram) -> Graph:
    """Give the graph of a torch.export program.

    Raises:
        ModelError: torch can't write it as ONNX.
    """
    import onnx

    from modeldyno.compiler.frontends.onnx.records import graph_records

    with tempfile.TemporaryDirectory(prefix="dyno-onnx-") as folder:
        path = Path(folder) / "graph.onnx"
        write_onnx(program, path)
        return graph_records(onnx.load(path))


def open_sizes(template: Template) -> tuple[dict[str, tuple[int, ...]], dict[str, dict[int, Any]]]:
    """Give shapes to trace at and, by input, the dimensions that stay open, with their ranges.

    Traced at 2 or more: at 1 torch takes a size for fixed. No two axes have one size, where there is room, so
    that none is taken for another.
    """
    import torch

    sizes: list[int] = []
    dims: dict[str, dict[int, Any]] = {}
    for number, axis in enumerate(template.axes):
        sizes.append(_size(axis, sizes))
        dim = torch.export.Dim(f"axis{number}", min=axis.span.low, max=axis.span.high)
        for place in axis.places:
            dims.setdefault(place.tensor, {})[place.dimension] = dim
    return template.at(sizes), dims


def _size(axis: FreeAxis, taken: list[int]) -> int:
    possible = range(max(2, axis.span.low), axis.span.high + 1)
    return next((size for size in possible if size not in taken), axis.span.high)
