"""What a manifest says of tensors, and of the file in which the weights lie."""

from __future__ import annotations

import math
from pathlib import Path

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record

WEIGHTS_NAME = "weights.bin"


class ArgumentSpec(Record):
    """One tensor that a kernel reads or writes."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size in memory."""
        digits = "".join(filter(str.isdigit, self.dtype.partition("_")[0]))
        return math.prod(self.shape) * max(1, int(digits or 8) // 8)


class WeightSpec(ArgumentSpec):
    """One tensor of the weights file; `offset` is in bytes from the file's begin."""

    offset: int


class WeightsFile(Record):
    """What `weights.bin` is: the tensors in the order in which `main` takes them."""

    digest: str = Field(description="BLAKE2b-256 of weights.bin")
    bytes: int
    tensors: tuple[WeightSpec, ...]
    up: int = Field(
        default=0,
        ge=0,
        description="folders above the manifest's in which it lies: a bucket reads that of the whole",
    )

    def path(self, folder: Path) -> Path:
        """Where it is, seen from the manifest's folder."""
        return folder.joinpath(*[".."] * self.up, WEIGHTS_NAME)
