"""What the user may choose of a compile."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from modeldyno.base.settings import Setting
from modeldyno.compiler.precision.formats import FLOAT32

DEFAULT_TOLERANCE = FLOAT32.tolerance
WINOGRAD_TOLERANCE = 1e-3
Fallback = Literal["onnxruntime"]
_ALWAYS = ("seed", "verify", "winograd", "fallback")
_NOT_IN_MANIFEST = "dump_dir"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Options that a job chooses too.

    tolerance: beside 8 times what rounding can do to an output (docs/parity.md); of whole numbers the
        default is none.
    """

    tolerance: Annotated[
        float | None,
        Setting(
            "Largest accepted difference from the source model, relative to each output's largest value; "
            "what rounding of the inputs does to it is added.",
            absent="1e-4; 1e-3 where Winograd convolutions are used",
            least=0,
        ),
    ] = None
    winograd: Annotated[
        bool,
        Setting(
            "Convolve 3x3 filters by Winograd.",
            off="Convolve 3x3 filters directly too: exacter, and slower.",
        ),
    ] = True
    tune_s: Annotated[
        float | None,
        Setting(
            "Measure ways to compute the model's convolutions and matrix products for about so long, and "
            "take the fastest. What was measured is kept and used by every later compile.",
            absent="none are measured",
            above=0,
            most=86_400,
            flag="--tune",
            metavar="SECONDS",
        ),
    ] = None
    fallback: Annotated[
        Fallback | None,
        Setting("Run what can't be compiled there, as segments of the artifact.", absent="stop, and name it"),
    ] = None
    min_compiled: Annotated[
        float | None,
        Setting(
            "The smallest share of the model's FLOPs that must be compiled, e.g. 0.95: with less there is no "
            "artifact, and the exit code is 1.",
            absent="any",
            least=0,
            most=1,
            metavar="SHARE",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Options(Choices):
    """Options of one compile."""

    seed: Annotated[int, Setting("Seed of the samples that parity is checked on.")] = 0
    verify: Annotated[
        bool,
        Setting("Check parity.", off="Skip the parity check; the manifest then has none."),
    ] = True
    dump_dir: Annotated[
        Path | None,
        Setting("Write the module after each stage into this folder.", absent="none", path="folder"),
    ] = None
    tuning_records: Annotated[
        Path | None,
        Setting(
            "JSON-lines file in which what was measured is kept.",
            absent="modeldyno/tuning.jsonl in the user's cache folder",
            path="file",
            metavar="FILE",
        ),
    ] = None
    reuse_tuning: Annotated[
        bool,
        Setting(
            "Use and keep what was measured.",
            off="Neither use nor keep what was measured.",
            flag="--no-tuning-records",
        ),
    ] = True

    def tolerance_of(self, *, winograd: bool) -> float:
        """Largest accepted difference of floats, of an artifact that has Winograd convolutions, or none."""
        if self.tolerance is not None:
            return self.tolerance
        return WINOGRAD_TOLERANCE if winograd else DEFAULT_TOLERANCE

    @property
    def whole_tolerance(self) -> float:
        """Largest accepted difference of outputs of whole numbers: none, unless one was given."""
        return self.tolerance or 0.0

    def as_text(self) -> dict[str, str]:
        """What goes into the manifest: every choice that can change the artifact, defaults too.

        The tolerance that was resolved stands in the manifest's parity, and what tuning changed is a field of
        its own: these options are named where they are set.
        """
        defaults = asdict(Options())
        return {
            key: "none" if value is None else str(value)
            for key, value in asdict(self).items()
            if key != _NOT_IN_MANIFEST and (key in _ALWAYS or value != defaults[key])
        }


@dataclass(frozen=True, kw_only=True)
class OwnInputs:
    """What outputs are compared on beside random inputs."""

    inputs: Annotated[
        tuple[Path, ...],
        Setting(
            "Your own inputs to compare the outputs on too, arrays named as the model's inputs; once for "
            "each record.",
            metavar="FILE.npz",
        ),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class CompileTask:
    """What is compiled, into what, for what."""

    model: Annotated[Path, Setting("An .onnx or .pt2 file.", argument=True)]
    output: Annotated[Path, Setting("Artifact folder to write.", short="-o", path="replaced folder")]
    target: Annotated[
        str, Setting("What to compile for: a target that `dyno targets` lists, or an instance type.")
    ] = "host"
    shapes: Annotated[
        tuple[str, ...],
        Setting(
            "Shape of an input that the model leaves open; once for each. A size is a number; a list of "
            "exact sizes, '1|4|8'; a range, 1..32, compiled for some sizes, to the next of which requests "
            "are padded with zeros; or a range with the sizes to compile, '1..32@1|8|32'. Dimensions of one "
            "symbolic name in the model move together, as do those without a name that are given equal "
            "ranges.",
            flag="--shape",
            metavar="NAME=1..32,3,224,224",
        ),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class CompileSource(OwnInputs, CompileTask):
    """What `dyno compile` makes of what."""


@dataclass(frozen=True, kw_only=True)
class CompileLimits:
    """What a compile by `dyno compile` may take, and how it is told of."""

    time_limit_s: Annotated[
        float | None,
        Setting(
            "End the compile after so long, and keep nothing.",
            absent="no limit",
            above=0,
            flag="--time-limit",
            metavar="SECONDS",
        ),
    ] = None
    memory_limit_mib: Annotated[
        int | None,
        Setting(
            "End the compile when it takes more memory, and keep nothing.",
            absent="90 % of what the machine, or the control group around it, has",
            least=1,
            flag="--memory-limit",
            metavar="MIB",
        ),
    ] = None
    as_json: Annotated[bool, Setting("Print the manifest as JSON.", flag="--json")] = False
    here: Annotated[Path | None, Setting("Do the work in this process.", hidden=True)] = None
    """Where the process that does the work tells how far it is; None: another process is to do it."""


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(OwnInputs):
    """The options of `dyno verify`."""

    artifact: Annotated[Path, Setting("An artifact folder.", argument=True)]
    model: Annotated[Path, Setting("The model file that it was compiled from.", argument=True)]
    seed: Annotated[int, Setting("Seed of the samples.")] = 0
    tolerance: Annotated[
        float | None,
        Setting(
            "Largest accepted difference from the source model, relative to each output's largest value; "
            "what rounding of the inputs does to it is added.",
            absent="that of the artifact's own check",
            least=0,
        ),
    ] = None
    as_json: Annotated[bool, Setting("Print what was found as JSON.", flag="--json")] = False
