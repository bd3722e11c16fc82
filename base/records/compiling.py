"""What compiling a candidate's model gave."""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import (
    Record,
)


class CompiledShape(Record):
    """One of the shapes of an artifact that takes several."""

    sizes: str = Field(description="of the open dimensions, in their order: 8x128")
    p50_ms: float | None = Field(description="median of one full run; None: not measured")
    padding_share: float = Field(description="share of the run that is padding at worst")


class CompileSummary(Record):
    """What the report says about the compiled model."""

    target: str
    seconds: float
    max_abs: float
    max_rel: float
    cosine: float
    undecided: tuple[str, ...] = Field(
        default=(), description="outputs of which the check does not tell whether they are right"
    )
    samples: tuple[str, ...] = Field(
        default=(), description="kinds of inputs that the outputs were compared on"
    )
    operators_share: float | None = Field(default=None, description="share of the operators compiled")
    flops_share: float | None = Field(
        default=None, description="share of the FLOPs compiled; None where it is not known"
    )
    fallback: tuple[str, ...] = Field(
        default=(), description="operators of the compiled candidates that run in ONNX Runtime"
    )
    options: dict[str, str] = Field(
        default_factory=dict, description="what was chosen for it, by the job's names"
    )
    tuning: str = Field(default="", description="where the kernels come from, in words; empty: not tuned")
    axes: tuple[str, ...] = Field(default=(), description="what sizes each open dimension takes, in words")
    shapes: tuple[CompiledShape, ...] = Field(
        default=(), description="each shape that was compiled; empty where there is one"
    )
