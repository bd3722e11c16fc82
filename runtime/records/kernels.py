"""What a manifest says of kernels: what they compute, and how they were chosen."""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record
from modeldyno.runtime.records.weights import ArgumentSpec


class KernelFacts(Record):
    """What one tensor program computes in one call, and how often an inference calls it."""

    name: str
    kind: str = Field(description="conv2d, dense, softmax, ...")
    calls: int = Field(description="calls in one inference")
    flops: int | None = Field(
        description="useful operations of one call: 2 for each multiply-add that the model defines, or an "
        "estimate where there are none; None where they can't be counted"
    )
    bytes: int = Field(description="all that one call reads and writes, each tensor once, weights included")
    inputs: tuple[ArgumentSpec, ...]
    outputs: tuple[ArgumentSpec, ...]


class RuleFailure(Record):
    """A kernel that a schedule rule failed on: right, but slower than it need be. A bug of the compiler."""

    kernel: str
    rule: str = Field(description="which rule should have ordered its loops; the next one did")
    message: str


class NonFinite(Record):
    """An operator that may differ from the source model's where an input holds NaN or infinities."""

    operator: str = Field(description="in ONNX's words, e.g. ConvTranspose")
    kernels: tuple[str, ...] = Field(description="that compute it; empty where they go by other names")
    why: str


class PeakKernel(Record):
    """The function of the library that does nothing but float32 multiply-adds in registers.

    Its arguments are factor (2, lanes) and the result (chains, lanes).
    """

    function: str
    chains: int
    lanes: int
    steps: int

    @property
    def flops(self) -> int:
        """Operations of one call."""
        return 2 * self.chains * self.lanes * self.steps


class TunedKernel(Record):
    """A kernel that measuring made faster."""

    kernel: str = Field(description="what it computes, e.g. conv2d 3x3 64->64 to 56x56")
    calls: int = Field(description="calls in one inference")
    default_us: float = Field(description="median of one call on one core, as chosen without measuring")
    tuned_us: float = Field(description="median of one call on one core, as it is in this artifact")


class TuningFacts(Record):
    """Where the choices for the model's distinct convolutions and matrix products come from."""

    measured: int = Field(description="from measurements during this compile")
    from_records: int = Field(description="from measurements of earlier compiles")
    default: int = Field(description="not measured: by a count of cycles")
    faster: tuple[TunedKernel, ...] = Field(default=(), description="those not computed in the default way")
