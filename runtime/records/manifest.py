"""What an artifact folder says of itself: `manifest.json`.

Schema versions: 1 has the weights inside the library; 2 in a file of their own; 3 has a digest of itself.
From 4 on an artifact may be compiled for several shapes: `buckets` lists them, each is an artifact of fixed
shape in a folder of its own (`buckets/8x128`), and all share the weights file of the whole.
"""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record, TensorSpec
from modeldyno.runtime.records.buckets import Buckets
from modeldyno.runtime.records.guards import Guard
from modeldyno.runtime.records.kernels import KernelFacts, NonFinite, PeakKernel, RuleFailure, TuningFacts
from modeldyno.runtime.records.origin import Coverage, GpuCodeFile, Independence, Road, StageTime, TargetFacts
from modeldyno.runtime.records.parity import ParityReport
from modeldyno.runtime.records.segments import Segment
from modeldyno.runtime.records.weights import WeightsFile

SCHEMA_VERSION = 5  # docs/artifact.md says what each version brought
MANIFEST_NAME = "manifest.json"
LIBRARY_NAME = "model.so"
GPU_CODE_NAME = "kernels.bin"


class Manifest(Record):
    """`manifest.json` of an artifact folder."""

    schema_version: int = SCHEMA_VERSION
    created_at: str
    model: str = Field(description="file name (or class name) of the source model")
    source_digest: str = Field(description="BLAKE2b-256 over the source model's files")
    frontend: str = Field(description="onnx or torch.export")
    road: Road | None = Field(default=None, description="None in artifacts of older versions")
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    target: TargetFacts
    precision: str = "float32"
    options: dict[str, str] = Field(default_factory=dict, description="every option as it was resolved")
    toolchain: dict[str, str] = Field(description="versions of what made it")
    stages: tuple[StageTime, ...]
    parity: ParityReport | None
    parity_skipped: str = Field(default="", description="why parity was not checked; empty where it was")
    coverage: Coverage | None = Field(default=None, description="None in artifacts of older versions")
    kernels: tuple[KernelFacts, ...] = Field(default=(), description="empty in artifacts of older versions")
    peak: PeakKernel | None = None
    tuning: TuningFacts | None = Field(default=None, description="None in artifacts of older versions")
    rule_failures: tuple[RuleFailure, ...] = Field(
        default=(), description="kernels slower than they need be, by a bug of the compiler; none in most"
    )
    guards: tuple[Guard, ...] = Field(
        default=(),
        description="indices and divisors that are checked in each inference, by their numbers - 1",
    )
    non_finite: tuple[NonFinite, ...] = Field(
        default=(),
        description="what may differ from the source model on NaN and infinities, and only there; empty in "
        "artifacts of older versions",
    )
    segments: tuple[Segment, ...] = Field(
        default=(), description="in the order in which they run; empty where model.so is the whole model"
    )
    library_digest: str = Field(
        description="BLAKE2b-256 of model.so; with buckets or segments, of their digests in order"
    )
    library_bytes: int = Field(
        description="with buckets, of all their libraries and segments; 0 where the model is in segments"
    )
    weights: WeightsFile | None = Field(
        default=None,
        description="None where the weights lie inside the library (schema 1, and models with branches), or "
        "in the segments",
    )
    buckets: Buckets | None = Field(default=None, description="None where every shape is fixed")
    rows_independent: Independence = Field(
        default=Independence(), description="unproved in artifacts of older versions, and of fixed shapes"
    )
    gpu_code: GpuCodeFile | None = Field(default=None, description="None where the target is no GPU")
    manifest_digest: str = Field(
        default="",
        description="BLAKE2b-256 of this file with these digits left out; empty before schema 3",
    )

    @property
    def model_digest(self) -> str:
        """What tells one compiled model from another: the library's digest and that of the weights."""
        return f"{self.library_digest}-{self.weights.digest}" if self.weights else self.library_digest

    @property
    def bytes(self) -> int:
        """Size of library and weights, and of the segments."""
        parts = (self.weights, self.gpu_code, *self.segments)
        return self.library_bytes + sum(part.bytes for part in parts if part)

    @property
    def needs_onnxruntime(self) -> bool:
        """Whether a part of the model runs in ONNX Runtime."""
        inside = self.buckets is not None and bool(self.buckets.not_compiled)
        return inside or any(not segment.is_compiled for segment in self.segments)
