"""How an artifact came about: its target, its stages, and how much of the source model it compiled."""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record


class TargetFacts(Record):
    """What the code was made for."""

    name: str = Field(description="preset name, or what `host` became")
    kind: str = Field(description="llvm or cuda")
    triple: str = Field(description="LLVM target triple, e.g. x86_64-linux-gnu")
    cpu: str = Field(description="LLVM processor name, e.g. znver4")
    features: tuple[str, ...] = Field(
        default=(),
        description="CPU features, in the kernel's words, that the code may use: the host must have them",
    )


class StageTime(Record):
    """Wall clock of one named pipeline stage."""

    stage: str
    seconds: float


class GpuCodeFile(Record):
    """What `kernels.bin` is: the GPU's machine code, for the architecture that the target names."""

    digest: str = Field(description="BLAKE2b-256 of kernels.bin")
    bytes: int
    source_digest: str = Field(
        default="",
        description="BLAKE2b-256 of the CUDA C that the code was made of. The library holds it, and by "
        "it TVM's runtime asks for the code. Empty in artifacts of older versions",
    )
    format: str = Field(description="cubin (fatbin: of older versions)")
    compiler: str = Field(description="what made it, and its version")


class Road(Record):
    """How the source model came into the compiler."""

    name: str = Field(description="onnx, torch.export, or torch.export + decompositions")
    reason: str = Field(default="", description="why it was not the shortest import path; empty where it was")


class Coverage(Record):
    """How much of the source model became machine code. What did not is named: nothing falls back unsaid."""

    operators_share: float = Field(
        ge=0, le=1, description="share of the model's operators compiled, counted behind constant folding"
    )
    flops_share: float | None = Field(
        ge=0, le=1, description="share of the model's operations compiled; None where they can't be counted"
    )
    fallback: tuple[str, ...] = Field(
        default=(), description="operators that run in another runtime; empty where all is compiled"
    )
    operators: int | None = Field(default=None, description="of the whole model; None where it has no graph")
    flops: int | None = Field(
        default=None,
        description="of the whole model: 2 for each multiply-add of products, 1 for each element that any "
        "other operator gives; None where they can't be counted",
    )

    @property
    def whole(self) -> bool:
        """Whether all of the model is compiled."""
        return not self.fallback


class Independence(Record):
    """Whether the rows of a batch depend on one another, by the source model's graph."""

    verdict: str = Field(
        default="unproved",
        description="proved: no row depends on another; refuted: an operator mixes them; unproved: neither",
    )
    cause: str = Field(default="", description="the operator that decides, and why; empty where it is proved")
