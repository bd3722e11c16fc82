"""One trial: bring up a candidate's server, load it level by level, write down what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dyno.clock import utc_now
from dyno.errors import LoadTestError, ServerError
from dyno.records import Fidelity, LoadResult, LoadSpec, Row, Trial
from loadgen.payload import Payload
from loadgen.progress import LoadProgress
from loadgen.run import run_load
from loadgen.shapes import closed_loop
from recommender.job import Load
from recommender.plan import PlannedTrial
from recommender.providers import Endpoint, Launch, Provider

LOG_LINES = 20
SETTLE_S = 0.2

OnLoad = Callable[[LoadSpec, LoadProgress], None]


@dataclass(frozen=True)
class Workload:
    """What every candidate of a run gets."""

    load: Load
    payload: Payload
    seed: int
    startup_timeout_s: float


@dataclass
class _Measured:
    """What a trial has so far."""

    startup_s: float | None = None
    notes: tuple[str, ...] = ()
    points: list[LoadResult] = field(default_factory=list)


def run_trial(
    planned: PlannedTrial,
    model: Path,
    workload: Workload,
    *,
    provider: Provider,
    log: Path,
    on_load: OnLoad | None = None,
) -> Trial:
    """Measure one candidate that serves `model`; a server or load test that fails makes a failed trial.

    Whatever was started is gone on return, also when interrupted.
    """
    started_at, began = utc_now(), time.monotonic()
    order = Launch(planned.candidate, planned.instance, model, log, workload.startup_timeout_s)
    measured, failure = _Measured(), None
    try:
        with provider.launch(order) as endpoint:
            _measure(endpoint, workload, measured, on_load)
    except (ServerError, LoadTestError) as error:
        failure = str(error)
    return Trial(
        candidate=planned.candidate,
        instance=planned.instance,
        fidelity=provider.fidelity(planned.instance),
        started_at=started_at,
        seconds=round(time.monotonic() - began, 3),
        startup_s=measured.startup_s,
        points=tuple(measured.points),
        failure=failure,
        server_log_tail="" if failure is None else log_tail(log),
        notes=measured.notes,
    )


def failed_trial(planned: PlannedTrial, fidelity: Fidelity, failure: str, log_tail: str = "") -> Trial:
    """Record a candidate that can't even be started."""
    return Trial(
        candidate=planned.candidate,
        instance=planned.instance,
        fidelity=fidelity,
        started_at=utc_now(),
        seconds=0.0,
        startup_s=None,
        failure=failure,
        server_log_tail=log_tail,
    )


def log_tail(log: Path, lines: int = LOG_LINES) -> str:
    """Return the last lines of a log, nothing when there is none."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""


def level_name(spec: LoadSpec | Row) -> str:
    """Word a load level: `4 users`, `12.5 requests/s`."""
    if spec.stage:
        return spec.stage
    if isinstance(spec, LoadSpec) and spec.staged:
        return closed_loop(spec)
    if spec.users is None:
        return f"{spec.rate_rps:g} requests/s"
    return f"{spec.users} user{'s' if spec.users > 1 else ''}"


def _measure(endpoint: Endpoint, workload: Workload, measured: _Measured, on_load: OnLoad | None) -> None:
    """Run every level. One that a living server can't meet at all costs only its own point."""
    measured.startup_s, measured.notes = round(endpoint.startup_s, 3), endpoint.notes
    failures = []
    for spec in workload.load.specs(endpoint.url, workload.seed):
        outcome = _load(endpoint, spec, workload.payload, on_load)
        if isinstance(outcome, LoadResult):
            measured.points += outcome.stages or (outcome,)
            measured.notes += tuple(_ended_early(outcome))
        else:
            failures.append(f"not measured with {level_name(spec)}: {outcome}")
    if not measured.points:
        raise LoadTestError("; ".join(failures))
    measured.notes += tuple(failures)


def _ended_early(found: LoadResult) -> Iterator[str]:
    """Say which rule of the job ended a load test."""
    if found.stop is not None and found.stop.rule in found.spec.stop_when:
        yield f"{level_name(found.spec)}: ended by {found.stop.rule}: {found.stop.why}"


def _load(
    endpoint: Endpoint, spec: LoadSpec, payload: Payload, on_load: OnLoad | None
) -> LoadResult | LoadTestError:
    """Run one level. A dead server ends it at once, and is the reason whatever else went wrong."""

    def watch(progress: LoadProgress) -> None:
        _check_alive(endpoint, spec)
        if on_load is not None:
            on_load(spec, progress)

    pid, cpus = endpoint.server_pid, endpoint.generator_cpus
    outcome: LoadResult | LoadTestError
    try:
        outcome = run_load(spec, payload, server_pid=pid, cpus=cpus, on_progress=watch)
    except LoadTestError as error:
        time.sleep(SETTLE_S)  # a killed server closes its port a moment before it counts as ended
        outcome = error
    _check_alive(endpoint, spec)
    return outcome


def _check_alive(endpoint: Endpoint, spec: LoadSpec) -> None:
    if reason := endpoint.death():
        raise ServerError(f"{reason} (while loaded with {level_name(spec)})")
