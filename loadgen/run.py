"""Run one load test: Locust in child processes, usage readings beside them, a LoadResult at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from modeldyno.base.clock import utc_now
from modeldyno.base.errors import ConfigError, LoadTestError, OutputError
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.generator.fleet import (
    ALONE,
    Workers,
    check_shareable,
    checked,
    gather,
    launch,
    plan_pool,
)
from modeldyno.loadgen.generator.in_flight import with_bound
from modeldyno.loadgen.generator.run_plan import MAX_POOL, Plan, write_plan
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Mix, single
from modeldyno.loadgen.server.endpoint import check_listening
from modeldyno.loadgen.signals import NEVER, Interrupts
from modeldyno.loadgen.spec.checks import checked_spec, first_users
from modeldyno.loadgen.stats.recording import Recording
from modeldyno.loadgen.stats.samples_file import SamplesLostError, check_samples_file, write_samples
from modeldyno.loadgen.verdict.result import whole_result
from modeldyno.loadgen.watch.follow import OnProgress, follow, startup_limit_s
from modeldyno.loadgen.watch.processes import find_server, is_alive, named_server


def run_load(
    spec: LoadSpec,
    payload: Payload | Mix,
    *,
    trace_s: Sequence[float] = (),
    server_pid: int | None = None,
    workers: Workers = ALONE,
    samples_file: Path | None = None,
    on_progress: OnProgress | None = None,
    interrupts: Interrupts = NEVER,
) -> LoadResult:
    """Load an endpoint as `spec` says and measure it.

    `trace_s` are the arrival times of a spec whose arrivals are a trace, in seconds, from 0 on.
    `workers` are the processes of the load generator, and the cores that they are pinned to.
    When `interrupts` asks for it, the test ends at once and its result says that it was cut short.
    `samples_file` gets every request (loadgen.stats.samples_file). `server_pid` is the process whose tree is
    watched; without it the one that listens at the port is taken, if it is on this machine. What is counted
    where: see loadgen.stats.recording.

    Raises:
        ConfigError: the spec asks for no loop, both, or more than can be run; or `server_pid` is gone.
        CutShortError: `interrupts` asked for it before anything was measured.
        SamplesLostError: `samples_file` could not be written; it has the result.
        LoadTestError: nothing listens, no request succeeded, or Locust ended before its time.
    """
    mix = payload if isinstance(payload, Mix) else single(payload)
    spec = checked_spec(spec, mix)
    begin_with = first_users(spec)
    check_shareable(spec, workers)
    workers = checked(workers, begin_with)
    spec = with_bound(spec, workers, mix, MAX_POOL)
    if samples_file is not None:
        check_samples_file(samples_file)
    if (spec.arrival == "trace") != bool(trace_s):
        raise ConfigError("arrivals of a trace need its times, and no others do")
    check_listening(spec.url)
    servers = named_server(server_pid) if server_pid else find_server(spec.url)
    started_at = utc_now()
    with tempfile.TemporaryDirectory(prefix="dyno-load-") as folder:
        pool = plan_pool(workers, spec.max_in_flight or MAX_POOL)
        plan = Plan(spec=spec, folder=folder, pool=pool, cpus=workers.cpus, workers=workers.number)
        with ExitStack() as stack:
            plan_file = write_plan(plan, mix, trace_s)
            fleet = launch(plan, plan_file, workers, stack, first_users=begin_with)
            seen = follow(fleet, startup_limit_s(workers), servers, on_progress, interrupts)
            gathered = gather(fleet)
        cut_short = interrupts.by if plan.cut_file.exists() else ""
    if not cut_short:  # who ended the test may have ended the server as well
        _check_alive(spec, servers, gathered.whole)
    result = whole_result(spec, started_at, gathered, seen, mix, cut_short=cut_short)
    if samples_file is not None:
        try:
            write_samples(samples_file, gathered.parts, spec, result.window_s)
        except OutputError as error:
            raise SamplesLostError(str(error), result) from error
    return result


def _check_alive(spec: LoadSpec, servers: tuple[int, ...], recording: Recording) -> None:
    """Half a measurement of a server that died is no measurement."""
    if servers and not any(map(is_alive, servers)):
        ended = ", ".join(map(str, servers))
        raise LoadTestError(
            f"the server of {spec.url} (process {ended}) ended during the load test: "
            f"{len(recording.latency_us)} requests succeeded, {len(recording.failure_kind)} failed"
        )
