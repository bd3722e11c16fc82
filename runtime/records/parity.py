"""What the parity check found."""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record


class Parity(Record):
    """How far one output is from the source model's, on the first sample: seeded random input.

    It may be as far off as `tolerance` x max |b| + 8 x `delta`.
    """

    output: str
    max_abs: float
    max_rel: float = Field(
        description="max |a - b| / max |b|: relative to the largest expected value; max |a - b| where all "
        "expected values are zero"
    )
    cosine: float = Field(description="cosine similarity of the flattened outputs")
    not_finite: float = Field(
        default=0.0, description="share of values that are NaN or infinite in both, and so compare nothing"
    )
    tolerance: float | None = Field(
        default=None, description="accepted share of max |b|; None in artifacts of older versions"
    )
    delta: float | None = Field(
        default=None,
        description="largest change of the source model's output over three runs whose float inputs are "
        "moved by one unit in the last place, and at least one step of the output's format at max |b|; None "
        "where it has no bound, and in artifacts of older versions",
    )
    decided: bool = Field(
        default=True,
        description="false where the source model itself changes by more than the tolerance when its inputs "
        "move by one unit in the last place: no difference tells right from wrong there",
    )


class ParitySample(Record):
    """One set of inputs that the outputs were compared on."""

    kind: str = Field(description="how it was drawn (docs/parity.md), or `file`: the user's own inputs")
    seed: int | None = Field(default=None, description="None for files")
    file: str = Field(default="", description="name of the user's file")
    digest: str = Field(default="", description="BLAKE2b-256 of the user's file")
    redrawn: int = Field(default=0, description="draws before it that the source model refused")
    shapes: str = Field(default="", description="of a request between the buckets, or of a bucket")
    share: float = Field(
        default=0.0,
        description="largest difference of an output, as a share of what it may differ by; at most 1e9",
    )
    output: str = Field(default="", description="the output of which that is")
    undecided: tuple[str, ...] = Field(default=(), description="outputs that this sample does not decide")
    refused: bool = Field(default=False, description="both source model and artifact refuse these inputs")


class Distance(Record):
    """How far an output is from that of the source model in the numbers that it is written in."""

    output: str
    max_rel: float = Field(description="as in parity; the largest of the first sample and the user's own")
    cosine: float = Field(description="the least of them")


class ParityReport(Record):
    """The parity check, its reference and its tolerance."""

    reference: str = Field(description="what ran the source model, e.g. onnxruntime 1.31.1")
    seed: int
    tolerance_max_rel: float = Field(description="accepted share of max |b|; 8 x delta is added to it")
    ran_on: str = Field(default="this machine", description="or what emulated the processor, and as which")
    outputs: tuple[Parity, ...]
    samples: tuple[ParitySample, ...] = Field(default=(), description="empty in artifacts of older versions")
    not_run: tuple[str, ...] = Field(
        default=(),
        description="kinds of samples left out: no time was left, or the source model refuses them",
    )

    given: tuple[Distance, ...] = Field(
        default=(),
        description="where the model's file is quantised, or in float16 or bfloat16: the distance to the "
        "file as it was given; `outputs` compares with the same model in float32. Empty for float32 "
        "files, and in artifacts of older versions",
    )
    given_tolerance: float | None = Field(
        default=None, description="largest accepted max_rel of `given`; None where it is told, and not judged"
    )
    given_unknown: str = Field(
        default="", description="why the file as it was given was not run; empty where it was, or is float32"
    )

    @property
    def undecided(self) -> tuple[str, ...]:
        """Outputs that the check can't tell right from wrong."""
        return tuple(row.output for row in self.outputs if not row.decided)
