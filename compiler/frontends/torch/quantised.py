"""Programs of torch that hold pairs of quantise and dequantise (PT2E): they are read by way of ONNX."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from modeldyno.compiler.frontends.torch.import_paths import ONNX, read_by_onnx
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.source import Given, Source
from modeldyno.runtime.records.origin import Road

if TYPE_CHECKING:
    from torch.export import ExportedProgram

NAMESPACE = "quantized_decomposed"


def register() -> None:
    """Let torch know the operators of such programs: it can't load a file that has them before."""
    import torch.ao.quantization.fx._decomposed  # noqa: F401


def is_quantised(program: ExportedProgram) -> bool:
    """Whether a program quantises or dequantises."""
    return any(str(node.target).startswith(NAMESPACE) for node in program.graph.nodes)


def by_pairs(program: ExportedProgram, source: Source) -> Source:
    """Give `source` as the pairs of an ONNX file that torch writes; its own reference is the model as given.

    Raises:
        ModelError: torch can't write it, or the file is none that the ONNX front end reads.
    """
    read = read_by_onnx(program, source)

    def reference(feeds: dict[str, Array]) -> dict[str, Array]:
        named = {spec.name: feeds[own.name] for spec, own in zip(read.inputs, source.inputs, strict=True)}
        found = read.reference(named).values()
        return dict(zip((spec.name for spec in source.outputs), found, strict=True))

    return replace(
        source,
        road=Road(name=ONNX, reason="the program is quantised, and its pairs are read by way of ONNX"),
        import_relax=read.import_relax,
        reference=reference,
        reference_name=read.reference_name,
        precision=read.precision,
        given=Given(source.reference, None),
        otherwise=None,
    )
