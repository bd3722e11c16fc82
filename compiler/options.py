"""What the user may choose of a compile, resolved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

DEFAULT_TOLERANCE = 1e-4
WINOGRAD_TOLERANCE = 1e-3
_ALWAYS = ("seed", "verify", "winograd", "fallback")


@dataclass(frozen=True)
class Options:
    """Options of one compile.

    tolerance: largest accepted max |a - b| / max |b| over an output, against the source model, beside 8 times
        what rounding can do to it (docs/parity.md); None is 1e-4, or 1e-3 where Winograd convolutions are
        used, and nothing for whole numbers.
    winograd: False convolves all filters directly: exacter, and slower.
    seed: of the random inputs that parity is checked on.
    verify: False skips the parity check, and the manifest says so.
    dump_dir: where each stage's module is written as a numbered text file; None writes nothing.
    tune_s: seconds to measure kernels for; None measures none.
    tuning_records: JSON-lines file of what was measured; None is modeldyno/tuning.jsonl in the user's cache
        folder.
    reuse_tuning: False neither reads nor writes that file.
    fallback: "onnxruntime" runs there, as segments of the artifact, what can't be compiled; None stops.
    min_compiled: the least share of the model's FLOPs that must be compiled; None asks for nothing.
    """

    tolerance: float | None = None
    winograd: bool = True
    seed: int = 0
    verify: bool = True
    dump_dir: Path | None = None
    tune_s: float | None = None
    tuning_records: Path | None = None
    reuse_tuning: bool = True
    fallback: str | None = None
    min_compiled: float | None = None

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
            if key != "dump_dir" and (key in _ALWAYS or value != defaults[key])
        }
