"""What the manifest of an artifact of several shapes says of them."""

from __future__ import annotations

from collections.abc import Iterable

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record
from modeldyno.runtime.records.segments import FallbackOperator

BUCKETS_NAME = "buckets"


def bucket_folder(sizes: Iterable[int]) -> str:
    """Where a bucket lies in its artifact."""
    return f"{BUCKETS_NAME}/{'x'.join(map(str, sizes))}"


class Place(Record):
    """One dimension of one input or output."""

    tensor: str
    dimension: int = Field(ge=0)


class Axis(Record):
    """A size that a request may choose, and the dimensions that have it together.

    Where `padded`, any size from `low` to the largest of `sizes` is taken: a request is padded with zeros up
    to the next of `sizes`, and `outputs` are cut back. Zeros, because in a mask they hide what they pad,
    because 0 is a valid id, and because nothing has to be copied for them. Else only `sizes` are taken.
    """

    name: str = Field(description="the model's own name for it, or that of its first dimension: image[0]")
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...] = Field(default=(), description="dimensions that are cut back after padding")
    low: int = Field(ge=1)
    sizes: tuple[int, ...] = Field(min_length=1, description="the sizes compiled for, ascending")
    padded: bool
    splits: bool = Field(
        default=False,
        description="rows do not depend on one another, by proof or trial (`rows_independent` says which): a "
        "request may be run in several pieces",
    )
    padding: str = Field(
        default="",
        description="proved: the model's graph shows that padding changes no answer; tried: runs of the "
        "source model showed none; empty where nothing is padded, and in artifacts of older versions",
    )
    padding_unproved: str = Field(
        default="", description="where it was tried: what of the graph is not known to keep padding out"
    )


class Bucket(Record):
    """One shape that was compiled; its own manifest and its library, or its segments, lie in `folder`."""

    sizes: tuple[int, ...] = Field(description="one of the sizes of each axis, in their order")
    manifest_digest: str = Field(description="that of the manifest in `folder`")
    library_digest: str = Field(description="BLAKE2b-256 of the library in `folder`, or that of its segments")
    library_bytes: int = Field(description="0 where the bucket is in segments")
    flops: int | None = Field(description="useful operations of one run; None where none are counted")
    p50_ms: float | None = Field(
        default=None, description="median of one full run, measured as `Buckets` says; None: not measured"
    )
    worst_sizes: tuple[int, ...] = Field(description="the request that this bucket pads most")
    padding_share: float = Field(
        ge=0,
        lt=1,
        description="share of a run that is padding then: of its rows, positions or what they make together",
    )
    operators_share: float | None = Field(
        default=None, description="share of operators compiled; None in artifacts of older versions"
    )
    flops_share: float | None = Field(
        default=None, description="share of operations compiled; None: not counted, or of an older version"
    )

    @property
    def folder(self) -> str:
        """Its place in the artifact."""
        return bucket_folder(self.sizes)

    @property
    def in_segments(self) -> bool:
        """Whether segments lie in `folder`, and not a library."""
        return not self.library_bytes


class Buckets(Record):
    """The shapes of an artifact that takes more than one."""

    axes: tuple[Axis, ...] = Field(min_length=1)
    buckets: tuple[Bucket, ...] = Field(min_length=1, description="every combination of the axes' sizes")
    measured_on: str | None = Field(
        default=None, description="the processor that `p50_ms` was measured on; None: nothing was measured"
    )
    measured_threads: int | None = None
    not_compiled: tuple[FallbackOperator, ...] = Field(
        default=(), description="what runs in ONNX Runtime, in one bucket at least; its manifest says where"
    )
