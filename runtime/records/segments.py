"""What the manifest of an artifact of segments says of them."""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record
from modeldyno.runtime.records.weights import WeightSpec

SEGMENTS_NAME = "segments"
COMPILED, ONNXRUNTIME = "compiled", "onnxruntime"


class FallbackOperator(Record):
    """An operator of a segment that is not compiled, and why it is not."""

    operator: str
    node: str
    domain: str
    opset: int | None
    why: str


class Segment(Record):
    """A part of the model that runs as one, in the order of the manifest; tensors go by name between them."""

    path: str = Field(description="in the artifact: a folder that is an artifact too, or an .onnx file")
    engine: str = Field(description="compiled, or onnxruntime")
    inputs: tuple[str, ...] = Field(description="tensors of the model that it reads, weights left out")
    outputs: tuple[str, ...] = Field(description="tensors of the model that it gives")
    operators: int
    flops: int | None = Field(description="None where they can't be counted")
    not_compiled: tuple[FallbackOperator, ...] = ()
    weights: dict[str, WeightSpec] = Field(
        default_factory=dict,
        description="of an .onnx file, by name: what lies in the manifest's weights file, not in this one",
    )
    digest: str = Field(description="BLAKE2b-256 of the .onnx file, or the manifest_digest of the folder")
    content_digest: str = Field(
        default="",
        description="of a folder, of its library and weights alone: the same whenever it was compiled; empty "
        "for .onnx files, whose digest is that, and in artifacts of older versions",
    )
    bytes: int = Field(description="of the .onnx file, or of the folder's files")

    @property
    def is_compiled(self) -> bool:
        """Whether its code is the artifact's own."""
        return self.engine == COMPILED
