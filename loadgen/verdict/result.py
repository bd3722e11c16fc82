"""The LoadResult of what was recorded and seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from modeldyno.base.command.console import one_line
from modeldyno.base.errors import LoadTestError, UnansweredError
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.load import LoadResult, Stop
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.usage import ResourceUsage
from modeldyno.loadgen.generator.fleet import Gathered
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.signals import CutShortError
from modeldyno.loadgen.spec.mlperf import verdict
from modeldyno.loadgen.stats.outcomes import NO_SOCKET
from modeldyno.loadgen.stats.own_lag import worker_usage
from modeldyno.loadgen.stats.payload_kinds import payload_kinds
from modeldyno.loadgen.stats.recording import Recording
from modeldyno.loadgen.stats.summary import Summary, error_groups, summarise
from modeldyno.loadgen.verdict.caveats import caveats, stop_caveats
from modeldyno.loadgen.verdict.validity import invalid_reasons
from modeldyno.loadgen.watch.circumstances import Circumstances
from modeldyno.loadgen.watch.follow import Seen

NOT_ASKED = ("unsent", "refused", NO_SOCKET)
"""Failures of requests that the endpoint never saw."""


def whole_result(
    spec: LoadSpec, started_at: str, gathered: Gathered, seen: Seen, mix: Mix, *, cut_short: str = ""
) -> LoadResult:
    """Put together the result of a test and of each of its stages; `cut_short` says what ended it early.

    Raises:
        LoadTestError: no request of the window succeeded.
        CutShortError: none had ended when the test was cut short.
    """
    open_requests = gathered.whole.lost if cut_short else 0
    if cut_short:  # they were given up on purpose
        gathered = replace(gathered, whole=replace(gathered.whole, lost=0))
    result = _result(spec, started_at, gathered, seen.around, mix)
    if not result.samples:
        raise _no_success(spec, gathered.whole, cut_short)
    stop = seen.stop or _usual_end(spec, result.window_s)
    if cut_short:
        stop = Stop(rule="interrupted", why=cut_short, at_s=spec.warmup_s + result.window_s)
    return result.model_copy(
        update={
            "stop": stop,
            "cut_short": cut_short,
            "stages": tuple(_stages(result, gathered, seen, mix)),
            "timeline": seen.watch.with_users(result.timeline),
            "warnings": (
                *_of_the_cut(cut_short, open_requests),
                *result.warnings,
                *stop_caveats(stop),
            ),
            "scenario": verdict(spec, gathered.whole, result.window_s),
        }
    )


def _stages(whole: LoadResult, gathered: Gathered, seen: Seen, mix: Mix) -> Iterator[LoadResult]:
    """Each stage as a test of its own; requests that got lost in the generator are the whole's."""
    gathered = replace(gathered, whole=replace(gathered.whole, lost=0, window_s=None))
    for stage, around in seen.watch.seen(seen.around):
        spec = stage.spec(whole.spec)
        found = _result(spec, whole.started_at, gathered, around, mix, begin_s=stage.start_s)
        yield found.model_copy(update={"timeline": seen.watch.with_users(found.timeline)})


def _usual_end(spec: LoadSpec, window_s: float) -> Stop:
    """What ends a test that no rule ended."""
    rule = "duration"
    if spec.shape and window_s < spec.longest_s:
        rule = "shape"
    elif spec.rate_rps is None and window_s > spec.duration_s:
        rule = "min_samples" if window_s < spec.longest_s else "max_duration"
    return Stop(rule=rule, at_s=spec.warmup_s + window_s)


def _result(
    spec: LoadSpec,
    started_at: str,
    gathered: Gathered,
    around: Circumstances,
    mix: Mix,
    *,
    begin_s: float = 0.0,
) -> LoadResult:
    recording = gathered.whole
    window_s = spec.duration_s if recording.window_s is None else recording.window_s
    summary = summarise(recording, spec.model_copy(update={"duration_s": window_s}), begin_s)
    groups = around.usage.groups if around.usage else {}
    workers = worker_usage(gathered.parts, spec, window_s)
    return LoadResult(
        started_at=started_at,
        spec=spec,
        window_s=window_s,
        payload_kinds=payload_kinds(spec, recording, window_s, mix),
        server=groups.get("server"),
        generator=groups.get("generator", ResourceUsage(cpu_cores_mean=0.0, memory_mib_max=0.0, samples=0)),
        host=host_facts(),
        machine=around.usage.machine if around.usage else None,
        workers=workers,
        lateness_p99_ms=summary.lateness_p99_ms,
        warnings=caveats(spec, recording, summary, around),
        invalid_reasons=gathered.lost + invalid_reasons(spec, summary, recording.lost, workers),
        **_measured(summary),
    )


def _measured(summary: Summary) -> dict[str, Any]:
    return {name: value for name, value in vars(summary).items() if name in LoadResult.model_fields}


def _of_the_cut(cut_short: str, open_requests: int) -> Iterator[str]:
    if cut_short:
        yield f"{cut_short} ended the test before its time: these numbers are of what was measured until then"
    if open_requests:
        yield (
            f"{open_requests} requests of the window had no end when the test was cut short: they count "
            "nowhere, and would have been among the slowest"
        )


def _no_success(spec: LoadSpec, recording: Recording, cut_short: str) -> LoadTestError:
    """Say why there is nothing to sum up; where the endpoint was asked, that says something of it."""
    if cut_short:
        return CutShortError(f"{cut_short} ended the load test before a request had succeeded")
    failures = error_groups(recording, recording.failure_kind >= 0)
    if failures:
        first = failures[0]
        status = f"HTTP {first.status}: " if first.status is not None else ""
        words = status + one_line(first.message)
        text = f"no request to {spec.url} succeeded; {first.count} failed with: {words}"
        asked = any(kind.kind not in NOT_ASKED for kind in recording.kinds)
        return UnansweredError(text) if asked else LoadTestError(text)
    if len(recording.latency_us):
        longest_s = recording.latency_us.max() / 1e6
        return LoadTestError(
            f"no request started in the window: one takes {longest_s:.1f} s, the window {spec.duration_s:g} s"
        )
    if spec.rate_rps is not None and not recording.arrivals:
        return LoadTestError(
            f"no arrival fell into the window: {spec.rate_rps:g} req/s for {spec.duration_s:g} s is too short"
        )
    return UnansweredError(
        f"no request to {spec.url} was answered in time; measure longer, or look whether the server hangs"
    )
