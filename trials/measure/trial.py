"""One trial: bring up a candidate's server, load it level by level, write down what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from modeldyno.base.clock import utc_now
from modeldyno.base.errors import LoadTestError, ServerError
from modeldyno.base.records.load import LoadResult, RateSearch
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import Candidate, Fidelity, ServerSettings, Trial
from modeldyno.loadgen.generator.progress import LoadProgress
from modeldyno.loadgen.payloads.files import first_body
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.server.idle import Idle
from modeldyno.loadgen.server.signature import why_not_joined
from modeldyno.loadgen.spec.limit_names import named_limits
from modeldyno.loadgen.spec.stages import load_name
from modeldyno.loadgen.verdict.rate_step import is_void
from modeldyno.trials.measure.orders import PlannedTrial, SearchOrder, Workload
from modeldyno.trials.measure.rate_search import candidate_search, confirm, search
from modeldyno.trials.providers.base import Deployment, Order, Provider

LOG_LINES = 20
SETTLE_S = 0.2

OnLoad = Callable[[LoadSpec, LoadProgress], None]


@dataclass
class _Measured:
    """What a trial has so far."""

    startup_s: float | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    points: list[LoadResult] = field(default_factory=list)
    search: RateSearch | None = None


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
    order = Order(planned.candidate, planned.instance, model, log, workload.startup_timeout_s)
    measured, failure = _Measured(), None
    try:
        with provider.deploy(order) as deployment:
            measured.warnings = _not_as_set(planned.candidate, deployment.url)
            _measure(_Loaded(deployment, workload, on_load), planned.candidate.settings, measured)
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
        warnings=measured.warnings,
        compiled_with=workload.compiled_options(planned.candidate),
        search=measured.search,
    )


def failed_trial(
    planned: PlannedTrial,
    fidelity: Fidelity,
    failure: str,
    log_tail: str = "",
    compiled_with: Mapping[str, str] | None = None,
) -> Trial:
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
        compiled_with=dict(compiled_with or {}),
    )


def log_tail(log: Path, lines: int = LOG_LINES) -> str:
    """Return the last lines of a log, nothing when there is none."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""


@dataclass(frozen=True)
class _Loaded:
    """A server under load."""

    deployment: Deployment
    workload: Workload
    on_load: OnLoad | None

    def idle(self) -> Idle:
        """What waits between load tests until the server has worked off what one left; not for a dead one."""
        return Idle(
            self.workload.specs(self.deployment.url)[0].url,
            first_body(self.workload.payload),
            stopped=lambda: not self.deployment.state.serving,
        )

    def test(self, spec: LoadSpec) -> LoadResult:
        """Run one load test. A dead server ends it at once, and is the reason whatever else went wrong.

        Raises:
            LoadTestError: nothing could be measured. ServerError: the server died.
        """

        def watch(progress: LoadProgress) -> None:
            _check_serving(self.deployment, spec)
            if self.on_load is not None:
                self.on_load(spec, progress)

        usage = self.deployment.usage
        try:
            outcome = run_load(
                spec,
                self.workload.payload,
                trace_s=self.workload.trace_s if spec.arrival == "trace" else (),
                server_pid=usage.pid if usage else None,
                workers=self.deployment.generator,
                on_progress=watch,
            )
        except LoadTestError:
            time.sleep(SETTLE_S)  # a killed server closes its port a moment before it counts as ended
            _check_serving(self.deployment, spec)
            raise
        _check_serving(self.deployment, spec)
        return outcome


def _measure(loaded: _Loaded, settings: ServerSettings, measured: _Measured) -> None:
    deployment = loaded.deployment
    measured.startup_s, measured.notes = round(deployment.startup_s, 3), deployment.notes
    if loaded.workload.search is not None:
        _search(loaded, loaded.workload.search, settings, measured)
    else:
        _levels(loaded, measured)


def _levels(loaded: _Loaded, measured: _Measured) -> None:
    """Run every level, each at an idle server. One that it can't meet at all costs only its own point."""
    failures = []
    idle = loaded.idle()
    for spec in loaded.workload.specs(loaded.deployment.url):
        try:
            if why := idle():
                _check_serving(loaded.deployment, spec)
                raise LoadTestError(why)
            outcome = _once_more(loaded, spec, idle, loaded.test(spec))
        except LoadTestError as error:
            failures.append(f"not measured with {load_name(spec)}: {error}")
            continue
        measured.points += outcome.stages or (outcome,)
        measured.notes += tuple(_ended_early(outcome))
    if not measured.points:
        raise LoadTestError("; ".join(failures))
    measured.notes += tuple(failures)


def _once_more(loaded: _Loaded, spec: LoadSpec, idle: Idle, outcome: LoadResult) -> LoadResult:
    """Repeat a void test once; the one that is valid stands, of two void ones the second."""
    limits = named_limits(loaded.workload.limits)
    if not any(map(is_void, (outcome, *outcome.stages), repeat(limits))) or outcome.cut_short:
        return outcome
    if idle():
        return outcome
    with suppress(LoadTestError):
        return loaded.test(spec)
    return outcome


def _search(loaded: _Loaded, how: SearchOrder, settings: ServerSettings, measured: _Measured) -> None:
    """Find the highest rate, or confirm one; every load test of it at a rate is kept."""

    def test(spec: LoadSpec) -> LoadResult:
        outcome = loaded.test(spec)
        measured.points += [outcome] if outcome.spec.rate_rps is not None else []
        return outcome

    (spec,) = loaded.workload.specs(loaded.deployment.url)
    plan = candidate_search(spec, loaded.workload.limits, how)
    rate_rps, idle = loaded.workload.confirm_rps, loaded.idle()
    if rate_rps is not None:
        measured.search = confirm(plan, rate_rps, test, idle)
    else:
        measured.search = search(plan, settings, test, idle)


def _not_as_set(candidate: Candidate, url: str) -> tuple[str, ...]:
    """Say where the server could not do what its settings say, by what it tells of its model."""
    if candidate.settings.max_batch == 1:
        return ()
    reason = why_not_joined(url)
    return (f"its requests were not joined, whatever max_batch says: {reason}",) if reason else ()


def _ended_early(found: LoadResult) -> Iterator[str]:
    """Say which rule of the job ended a load test."""
    if found.stop is not None and found.stop.rule in found.spec.stop_when:
        yield f"{load_name(found.spec)}: ended by {found.stop.rule}: {found.stop.why}"


def _check_serving(deployment: Deployment, spec: LoadSpec) -> None:
    state = deployment.state
    if not state.serving:
        raise ServerError(f"{state.reason} (while loaded with {load_name(spec)})")
