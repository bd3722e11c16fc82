"""What an artifact folder says of itself: `manifest.json`.

Schema versions: 1 has the weights inside the library; 2 in a file of their own; 3 has a digest of itself.
From 4 on an artifact may be compiled for several shapes: `buckets` lists them, each is an artifact of fixed
shape in a folder of its own (`buckets/8x128`), and all share the weights file of the whole.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import Field, ValidationError

from modeldyno.base.errors import ArtifactError
from modeldyno.base.records.record import Record, TensorSpec
from modeldyno.runtime.records.buckets import Buckets
from modeldyno.runtime.records.guards import Guard
from modeldyno.runtime.records.segments import Segment
from modeldyno.runtime.records.weights import ArgumentSpec, WeightsFile

SCHEMA_VERSION = 5  # docs/artifact.md says what each version brought
_OLDEST = 1  # artifacts of this version have their weights inside the library
_SEALED = 3  # from this version on the manifest has a digest of itself
# What manifests without one could have: with any other field, it was made by a version that seals.
_UNSEALED = frozenset(
    (
        *(
            "schema_version",
            "created_at",
            "model",
            "source_digest",
            "frontend",
            "inputs",
            "outputs",
            "target",
        ),
        *("precision", "options", "toolchain", "stages", "parity", "kernels", "peak", "tuning"),
        *("library_digest", "library_bytes", "weights"),
    )
)
MANIFEST_NAME = "manifest.json"
LIBRARY_NAME = "model.so"
GPU_CODE_NAME = "kernels.bin"


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

    @property
    def undecided(self) -> tuple[str, ...]:
        """Outputs that the check can't tell right from wrong."""
        return tuple(row.output for row in self.outputs if not row.decided)


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


class Road(Record):
    """How the source model came into the compiler."""

    name: str = Field(description="onnx, torch.export, or torch.export + decompositions")
    reason: str = Field(default="", description="why it was not the shortest road; empty where it was")


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


def sealed(text: str) -> str:
    """Put its digest into a manifest's JSON text, whose `manifest_digest` is empty."""
    empty = '"manifest_digest": "'
    before, found, after = text.rpartition(empty)
    if not found or not after.startswith('"'):
        raise ValueError("no empty manifest_digest to fill in")
    return f"{before}{found}{digest_bytes(text.encode())}{after}"


def digest_bytes(data: bytes) -> str:
    """BLAKE2b-256, as hexadecimal text."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read an artifact's manifest.

    Raises:
        ArtifactError: `folder` is no artifact, its manifest is damaged, or a newer version made it.
    """
    path = folder / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{folder} is no artifact: cannot read {MANIFEST_NAME} ({error.strerror}); "
            "`dyno compile` makes one"
        ) from error
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(_explain(path, data, error)) from error
    if not _OLDEST <= manifest.schema_version <= SCHEMA_VERSION:
        raise ArtifactError(_newer(path, manifest.schema_version))
    if _is_sealed(data, manifest.schema_version) and not _is_whole(data, manifest.manifest_digest):
        raise ArtifactError(
            f"{path} is damaged or was edited: its digest is not its own; copy or compile it again"
        )
    return manifest


def _is_sealed(data: bytes, schema_version: int) -> bool:
    """Whether the version that made a manifest gave it a digest, whatever it says of its version."""
    import json

    return schema_version >= _SEALED or not _UNSEALED.issuperset(json.loads(data))


def _is_whole(data: bytes, digest: str) -> bool:
    return bool(digest) and digest_bytes(data.replace(digest.encode(), b"", 1)) == digest


def _explain(path: Path, data: bytes, error: ValidationError) -> str:
    import json

    try:
        found = json.loads(data).get("schema_version")
    except (ValueError, AttributeError):
        found = None
    if isinstance(found, int) and found > SCHEMA_VERSION:
        return _newer(path, found)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{path} is damaged: {where}: {first['msg']}; compile the model again"


def _newer(path: Path, found: int) -> str:
    return (
        f"{path} has schema_version {found}, this modeldyno reads {SCHEMA_VERSION}: "
        "update modeldyno, or compile the model again"
    )
