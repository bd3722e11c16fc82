"""What is asked of a measurement: plain records, which whoever plans the trials fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import Candidate, InstanceType, Limits
from modeldyno.base.settings import fields_of
from modeldyno.compiler.options import Choices
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Mix

PROBE_S = 3.0
"""Length of the closed loop that says where a search begins."""


@dataclass(frozen=True)
class PlannedTrial:
    """One candidate on its instance type."""

    candidate: Candidate
    instance: InstanceType


@dataclass(frozen=True, kw_only=True)
class CompileOrder(Choices):
    """How the model is compiled: options of `dyno compile`; None leaves one to its default."""

    target: str = "host"
    shapes: Mapping[str, str] = field(default_factory=dict)
    """By input, as `dyno compile` takes them, e.g. `1..32,3`."""
    tuning_records: bool = True
    """Whether what was measured is used and kept."""

    @property
    def choices(self) -> dict[str, Any]:
        """The options that `dyno compile` and a job have in common, by name."""
        return {each.name: getattr(self, each.name) for each in fields_of(Choices)}

    def described(self) -> dict[str, str]:
        """Every option by its name, with what leaving it out means in words."""
        chosen = {name: _shown(value) for name, value in self.choices.items()}
        if self.tolerance is None:
            chosen["tolerance"] = "by default"
        shapes = {f"shape {name}": shape for name, shape in self.shapes.items()}
        return {"target": self.target, **shapes, **chosen, "tuning_records": _shown(self.tuning_records)}


@dataclass(frozen=True)
class BodyOrder:
    """What the requests carry: files of the user's, or random tensors; and a recorded trace's arrivals."""

    files: Mapping[Path, float] = field(default_factory=dict)
    """Files or folders of samples, with their weights; empty: random tensors."""
    content_type: str | None = None
    """Of the files; None: by their endings."""
    rows: bool = False
    """Whether each row of an array file is a request of its own."""
    trace: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class SearchOrder:
    """A search for the highest rate of an open loop that meets the limits."""

    precision: float
    """How near the lowest failing rate is to the highest that met the limits, as a share of it."""
    max_tests: int
    longest_s: float
    """Longest measured window of one load test."""
    start_rps: float | None = None
    """Rate of the first load test; None: half of what a short closed loop answers."""


@dataclass(frozen=True)
class Workload:
    """What every candidate of a run gets."""

    tests: tuple[LoadSpec, ...]
    """Each load test, without an address; of a search its first."""
    payload: Payload | Mix
    startup_timeout_s: float
    search: SearchOrder | None = None
    limits: Limits = field(default_factory=Limits)
    """For a search."""
    trace_s: tuple[float, ...] = ()
    compiled_with: Mapping[str, str] = field(default_factory=dict)
    """What the records of compiled candidates say of their compilation."""
    confirm_rps: float | None = None
    """Of a search: no search, but one load test at this rate, which an earlier start found."""

    def specs(self, url: str) -> tuple[LoadSpec, ...]:
        """Each load test of a candidate at `url`; of a search its first."""
        return tuple(spec.model_copy(update={"url": url}) for spec in self.tests)

    def repeated(self, seed: int) -> Workload:
        """The same once more, with other arrivals."""
        return replace(self, tests=tuple(spec.model_copy(update={"seed": seed}) for spec in self.tests))

    def compiled_options(self, candidate: Candidate) -> dict[str, str]:
        """What the candidate's model was compiled with; nothing for the baseline."""
        return dict(self.compiled_with) if candidate.backend == "compiled" else {}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
