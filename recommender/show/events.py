"""What `recommend` tells while it works, in this order; whoever shows it decides how."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import Candidate, Trial
from modeldyno.loadgen.generator.progress import LoadProgress
from modeldyno.recommender.job.load_section import Load
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.trials.measure.orders import PlannedTrial
from modeldyno.trials.selection.alone import Alone


@dataclass(frozen=True)
class RunPlanned:
    """All checks have passed; nothing has been started."""

    kept: tuple[Trial, ...]
    """Finished earlier in the same folder; not measured again."""
    refused: tuple[tuple[PlannedTrial, str], ...]
    """What cannot run here, and why."""
    to_measure: tuple[PlannedTrial, ...]
    """In the order of measuring."""
    load: Load
    seconds: float
    """About how long the measuring takes, compilation not counted."""
    notes: tuple[str, ...]
    most_seconds: float = 0.0
    """How long it takes at the most, compilation not counted."""
    starts: int = 1
    """Servers of each candidate that are started one after another."""
    started: int = 0
    """Of all these, those that an earlier run has measured."""


@dataclass(frozen=True)
class CompileStarted:
    """The model is being compiled."""

    target: str


@dataclass(frozen=True)
class CompileEnded:
    """The artifact is there (`reused`: from an earlier run), or why it is not."""

    manifest: Manifest | None
    reused: bool
    failure: str | None
    seconds: float


@dataclass(frozen=True)
class TrialStarted:
    """A candidate's server is being started."""

    planned: PlannedTrial


@dataclass(frozen=True)
class TrialLoaded:
    """Some of a trial's load has been sent."""

    planned: PlannedTrial
    spec: LoadSpec
    progress: LoadProgress


@dataclass(frozen=True)
class StartEnded:
    """The load tests of one start of a candidate are on disk; others may follow."""

    trial: Trial
    number: int
    """From 1 on."""
    confirms: bool
    """Whether it confirmed a rate that an earlier start found."""


@dataclass(frozen=True)
class Measuring:
    """Several candidates are being measured side by side."""

    text: str
    seconds_left: float
    """Of this stage, about; below 0: not known."""


@dataclass(frozen=True)
class AloneMeasured:
    """A candidate has been looked at in a start of its own."""

    candidate: Candidate
    alone: Alone


@dataclass(frozen=True)
class TrialEnded:
    """A trial is on disk."""

    trial: Trial


Event = (
    RunPlanned
    | CompileStarted
    | CompileEnded
    | TrialStarted
    | TrialLoaded
    | StartEnded
    | Measuring
    | AloneMeasured
    | TrialEnded
)
