"""Run one load test: Locust in a child process, usage readings beside it, a LoadResult at the end."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dyno.clock import utc_now
from dyno.errors import ConfigError, LoadTestError
from dyno.host import host_facts
from dyno.procs import Child
from dyno.records import LoadResult, LoadSpec, ResourceUsage, Stop
from loadgen.caveats import Circumstances, caveats, stop_caveats
from loadgen.endpoint import check_listening, endpoint_url, host_and_port
from loadgen.fleet import ALONE, Fleet, Gathered, Workers, check_shareable, checked, gather, launch, plan_pool
from loadgen.generator import worker_usage
from loadgen.kinds import payload_kinds
from loadgen.mlperf import verdict
from loadgen.payload import Payload
from loadgen.payload_files import Mix, single
from loadgen.plan import MAX_POOL, Plan, write_plan
from loadgen.progress import Closing, EventReader, Finished, LoadProgress, Started
from loadgen.recording import Recording
from loadgen.samples import check_samples_file, write_samples
from loadgen.shapes import Stage, planned_s, planned_stages
from loadgen.stage_watch import StageWatch
from loadgen.stop_rules import check_rules
from loadgen.stop_watch import StopWatch
from loadgen.summary import Summary, error_groups, summarise
from loadgen.usage import (
    UsageSampler,
    WindowUsage,
    affinity,
    find_server,
    is_alive,
    is_this_machine,
    named_server,
)
from loadgen.validity import invalid_reasons

STARTUP_LIMIT_S = 60.0
REMOTE_LIMIT_S = 600.0
"""Workers of other machines are started by hand."""
OVERTIME_LIMIT_S = 30.0
LOOK_EVERY_S = 0.2
MAX_USERS = 10_000
MAX_SECONDS = 24 * 3600.0
MAX_TIMEOUT_S = 3600.0

OnProgress = Callable[[LoadProgress], None]


@dataclass(frozen=True)
class _Seen:
    """What was seen around a test, and around each of its stages."""

    around: Circumstances
    watch: StageWatch
    stop: Stop | None = None
    """The rule that ended it before its time."""


def run_load(
    spec: LoadSpec,
    payload: Payload | Mix,
    *,
    trace_s: Sequence[float] = (),
    server_pid: int | None = None,
    cpus: tuple[int, ...] | None = None,
    workers: Workers = ALONE,
    samples_file: Path | None = None,
    on_progress: OnProgress | None = None,
) -> LoadResult:
    """Load an endpoint as `spec` says and measure it.

    `trace_s` are the arrival times of a spec whose arrivals are a trace, in seconds, from 0 on.
    `cpus` pins the load generator to those cores; `workers` makes it several processes.
    `samples_file` gets every request (loadgen.samples). `server_pid` is the process whose tree is watched;
    without it the one that listens at the port is taken, if it is on this machine. What is counted where:
    see loadgen.recording.

    Raises:
        ConfigError: the spec asks for no loop, both, or more than can be run; or `server_pid` is gone.
        LoadTestError: nothing listens, no request succeeded, or Locust ended before its time.
    """
    mix = payload if isinstance(payload, Mix) else single(payload)
    spec = _checked(spec, mix)
    first_users = _first_users(spec)
    check_shareable(spec, workers)
    workers = checked(workers, first_users)
    if samples_file is not None:
        check_samples_file(samples_file)
    if (spec.arrival == "trace") != bool(trace_s):
        raise ConfigError("arrivals of a trace need its times, and no others do")
    check_listening(spec.url)
    servers = named_server(server_pid) if server_pid else find_server(spec.url)
    started_at = utc_now()
    with tempfile.TemporaryDirectory(prefix="dyno-load-") as folder:
        pool = plan_pool(workers, MAX_POOL)
        plan = Plan(spec=spec, folder=folder, pool=pool, cpus=cpus, workers=workers.number)
        with ExitStack() as stack:
            plan_file = write_plan(plan, mix, trace_s)
            fleet = launch(plan, plan_file, workers, stack, first_users=first_users)
            seen = _watch(fleet, _startup_limit_s(workers), servers, on_progress)
            gathered = gather(fleet)
    _check_alive(spec, servers, gathered.whole)
    result = _result(spec, started_at, gathered, seen.around, mix)
    if not result.samples:
        raise LoadTestError(_no_success(spec, gathered.whole))
    if samples_file is not None:
        write_samples(samples_file, gathered.parts, spec, result.window_s)
    stop = seen.stop or _usual_end(spec, result.window_s)
    return result.model_copy(
        update={
            "stop": stop,
            "stages": tuple(_stages(result, gathered, seen, mix)),
            "timeline": seen.watch.with_users(result.timeline),
            "warnings": (*result.warnings, *stop_caveats(stop)),
            "scenario": verdict(spec, gathered.whole, result.window_s),
        }
    )


def _checked(spec: LoadSpec, mix: Mix) -> LoadSpec:
    kinds = (spec.users is not None, spec.staged, spec.rate_rps is not None)
    if sum(kinds) != 1 or sum(map(bool, (spec.phases, spec.stairs, spec.shape))) > 1:
        raise ConfigError(
            "a load test needs either users, phases, stairs or a shape (closed loop) or rate_rps (open loop)"
        )
    check_rules(spec)
    stages = planned_stages(spec)
    if stages:
        spec = spec.model_copy(
            update={"duration_s": planned_s(spec), "min_samples": 0, "max_duration_s": None}
        )
    if any(not 1 <= users <= MAX_USERS for users in _users(spec, stages)):
        raise ConfigError(f"users must be from 1 to {MAX_USERS}, got {max(_users(spec, stages))}")
    if spec.rate_rps is not None and not 0 < spec.rate_rps < float("inf"):
        raise ConfigError(f"rate_rps must be above 0, got {spec.rate_rps}")
    if not spec.warmup_s + spec.longest_s <= MAX_SECONDS or not spec.timeout_s <= MAX_TIMEOUT_S:
        raise ConfigError(
            f"a load test lasts at most {MAX_SECONDS:g} s, a request at most {MAX_TIMEOUT_S:g} s"
        )
    spec = _long_enough(spec)
    filled = {"content_type": mix.content_type, "payload_bytes": round(mix.mean_bytes)}
    return spec.model_copy(update={"url": endpoint_url(spec.url), **filled})


def _users(spec: LoadSpec, stages: Sequence[Stage]) -> list[int]:
    """Numbers of users that are known before the test; the first ones come first."""
    planned = [users for stage in stages for users in (stage.users_from, stage.users_to)]
    return planned or ([1] if spec.users is None else [spec.users])


def _first_users(spec: LoadSpec) -> int | None:
    """How many users a closed loop begins with; None for an open one."""
    return None if spec.rate_rps is not None else _users(spec, planned_stages(spec))[0]


def _long_enough(spec: LoadSpec) -> LoadSpec:
    """An open loop's rate is known: its window is made as long as `min_samples` needs before it starts."""
    if spec.rate_rps is None:
        return spec
    # 5 % more, since Poisson arrivals may fall short of their mean.
    needed_s = math.ceil(1.05 * spec.min_samples / spec.rate_rps)
    window_s = min(max(spec.duration_s, needed_s), spec.longest_s)
    # Fixed from the start: users hold arrivals ahead of time, and which of them count must be known then.
    return spec.model_copy(update={"duration_s": window_s, "max_duration_s": None})


def _startup_limit_s(workers: Workers) -> float:
    return REMOTE_LIMIT_S if workers.remote else STARTUP_LIMIT_S + 2 * workers.number


def _watch(
    fleet: Fleet, startup_limit_s: float, servers: tuple[int, ...], on_progress: OnProgress | None
) -> _Seen:
    """Follow the test until it has finished; return what was seen around it."""
    plan, child = fleet.plan, fleet.head
    events, sampler = EventReader(plan.progress_file), None
    groups = {"server": servers, "generator": fleet.pids}
    stages = StageWatch(plan.spec, lambda start_s: UsageSampler(groups, start_s))
    rules = StopWatch(plan.spec, plan.stream_file, plan.stop_file)
    end_by = time.monotonic() + startup_limit_s
    try:
        while True:
            ended = child.returncode() is not None
            for event in events.read():
                stages.follow(event)
                if isinstance(event, Started):
                    shared = len(affinity(servers) & affinity(fleet.pids))
                    sampler = _sampler(plan.spec, event, fleet.pids, servers)
                    end_by = event.start_monotonic_ns / 1e9 + _longest_s(plan.spec)
                elif isinstance(event, Closing) and sampler:
                    rules.close()
                    sampler.end_at(event.end_monotonic_ns / 1e9)
                elif isinstance(event, LoadProgress) and on_progress:
                    on_progress(event)
                elif isinstance(event, Finished) and sampler:
                    usage = sampler.stop()
                    around = _circumstances(plan.spec, usage, shared, servers, len(fleet.workers))
                    return _Seen(around, stages, rules.stop)
            if sampler is None and (early := fleet.ended()):
                raise LoadTestError(_died(early, ended=True))
            stages.look()
            rules.look(stages.so_far())
            if ended or time.monotonic() > end_by:
                raise LoadTestError(_died(child, ended=ended))
            time.sleep(LOOK_EVERY_S)
    finally:
        if sampler:
            sampler.stop()
        stages.stop()


def _check_alive(spec: LoadSpec, servers: tuple[int, ...], recording: Recording) -> None:
    """Half a measurement of a server that died is no measurement."""
    if servers and not any(map(is_alive, servers)):
        ended = ", ".join(map(str, servers))
        raise LoadTestError(
            f"the server of {spec.url} (process {ended}) ended during the load test: "
            f"{len(recording.latency_us)} requests succeeded, {len(recording.failure_kind)} failed"
        )


def _sampler(
    spec: LoadSpec, event: Started, generator: tuple[int, ...], servers: tuple[int, ...]
) -> UsageSampler:
    start_s = event.start_monotonic_ns / 1e9 + spec.warmup_s
    return UsageSampler({"server": servers, "generator": generator}, start_s)


def _longest_s(spec: LoadSpec) -> float:
    return spec.warmup_s + spec.longest_s + spec.timeout_s + OVERTIME_LIMIT_S


def _circumstances(
    spec: LoadSpec, usage: WindowUsage | None, shared: int, servers: tuple[int, ...], workers: int
) -> Circumstances:
    return Circumstances(
        usage=usage,
        shared_cores=shared,
        server_unseen=not servers and is_this_machine(host_and_port(spec.url)[0]),
        logical_cores=host_facts().logical_cores,
        workers=max(1, workers),
    )


def _died(child: Child, *, ended: bool) -> str:
    what = f"Locust ended early (exit status {child.returncode()})" if ended else "Locust did not end in time"
    return f"{what}; its last lines:\n{child.log_tail() or '(none)'}"


def _stages(whole: LoadResult, gathered: Gathered, seen: _Seen, mix: Mix) -> Iterator[LoadResult]:
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


def _no_success(spec: LoadSpec, recording: Recording) -> str:
    failures = error_groups(recording, recording.failure_kind >= 0)
    if failures:
        first = failures[0]
        status = f"HTTP {first.status}: " if first.status is not None else ""
        return f"no request to {spec.url} succeeded; {first.count} failed with: {status}{first.message}"
    if len(recording.latency_us):
        longest_s = recording.latency_us.max() / 1e6
        return (
            f"no request started in the window: one takes {longest_s:.1f} s, the window {spec.duration_s:g} s"
        )
    if spec.rate_rps is not None and not recording.arrivals:
        return (
            f"no arrival fell into the window: {spec.rate_rps:g} req/s for {spec.duration_s:g} s is too short"
        )
    return f"no request to {spec.url} was answered in time; measure longer, or look whether the server hangs"
