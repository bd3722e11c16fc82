"""Follow a load test from outside while it runs: its events, its stages, its rules, CPU and memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from modeldyno.base.errors import LoadTestError
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts
from modeldyno.base.process.procs import Child
from modeldyno.base.records.load import Stop
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.generator.fleet import Fleet, Workers
from modeldyno.loadgen.generator.progress import Closing, EventReader, Finished, LoadProgress, Started
from modeldyno.loadgen.generator.run_plan import Plan
from modeldyno.loadgen.server.endpoint import host_and_port
from modeldyno.loadgen.signals import NEVER, CutShortError, Interrupts
from modeldyno.loadgen.watch.circumstances import Circumstances
from modeldyno.loadgen.watch.processes import affinity, is_this_machine
from modeldyno.loadgen.watch.stage_watch import StageWatch
from modeldyno.loadgen.watch.stop_watch import StopWatch
from modeldyno.loadgen.watch.usage import UsageSampler, WindowUsage

STARTUP_LIMIT_S = 60.0
OVERTIME_LIMIT_S = 30.0
LOOK_EVERY_S = 0.2

OnProgress = Callable[[LoadProgress], None]


@dataclass(frozen=True)
class Seen:
    """What was seen around a test, and around each of its stages."""

    around: Circumstances
    watch: StageWatch
    stop: Stop | None = None
    """The rule that ended it before its time."""


def startup_limit_s(workers: Workers) -> float:
    """Seconds until all must have begun."""
    return workers.remote_within_s if workers.remote else STARTUP_LIMIT_S + 2 * workers.number


def follow(
    fleet: Fleet,
    start_within_s: float,
    servers: tuple[int, ...],
    on_progress: OnProgress | None,
    interrupts: Interrupts = NEVER,
) -> Seen:
    """Return, when the test has finished, what was seen around it.

    When `interrupts` asks for it, the test is told to end at once.

    Raises:
        LoadTestError: a process ended before its time, or all is not over long after it.
        CutShortError: `interrupts` asked for it before the window had begun.
    """
    plan, child = fleet.plan, fleet.head
    events, sampler = EventReader(plan.progress_file), None
    groups = {"server": servers, "generator": fleet.pids}
    stages = StageWatch(plan.spec, lambda start_s: UsageSampler(groups, start_s))
    rules = StopWatch(plan.spec, plan.stream_file, plan.stop_file)
    end_by = time.monotonic() + start_within_s
    start_s, missing = math.inf, ""
    try:
        while True:
            ended = child.returncode() is not None
            for event in events.read():
                stages.follow(event)
                if isinstance(event, Started):
                    shared = len(affinity(servers) & affinity(fleet.pids))
                    start_s = event.start_monotonic_ns / 1e9
                    sampler = UsageSampler(groups, start_s + plan.spec.warmup_s)
                    end_by = start_s + _longest_s(plan.spec)
                elif isinstance(event, Closing) and sampler:
                    rules.close()
                    sampler.end_at(event.end_monotonic_ns / 1e9)
                elif isinstance(event, LoadProgress):
                    missing = event.waiting_for
                    (on_progress or _nobody)(event)
                elif isinstance(event, Finished) and sampler:
                    usage = sampler.stop()
                    around = _circumstances(plan.spec, usage, shared, servers, len(fleet.workers))
                    return Seen(around, stages, rules.stop)
            if sampler is None and (early := fleet.ended()):
                raise LoadTestError(_died(early))
            end_by = _cut_short(plan, start_s, interrupts.by, end_by)
            stages.look()
            rules.look(stages.so_far())
            if ended or time.monotonic() > end_by:
                raise LoadTestError(_why(fleet, start_within_s, ended, sampler is not None, missing))
            time.sleep(LOOK_EVERY_S)
    finally:
        if sampler:
            sampler.stop()
        stages.stop()


def _cut_short(plan: Plan, start_s: float, by: str, end_by: float) -> float:
    """Have the test end if something asks for it; give until when it has to be over.

    Raises:
        CutShortError: its window has not begun.
    """
    if not by or plan.cut_file.exists():
        return end_by
    if time.monotonic() <= start_s + plan.spec.warmup_s:
        where = "in its warm-up" if time.monotonic() > start_s else "before it began"
        raise CutShortError(f"the load test was ended by {by} {where}: nothing was measured")
    write_text(plan.cut_file, by)
    return min(end_by, time.monotonic() + OVERTIME_LIMIT_S)


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


def _died(child: Child) -> str:
    return f"Locust ended early (exit status {child.returncode()}); {_last_lines(child)}"


def _nobody(_: LoadProgress) -> None:
    """Nobody listens."""


def _why(fleet: Fleet, start_within_s: float, ended: bool, begun: bool, missing: str) -> str:
    """The leading process ended early, or some process hangs; whoever started the fleet ends it."""
    child = fleet.head
    if ended:
        return _died(child)
    if begun:
        limit_s = _longest_s(fleet.plan.spec)
        what = f"the load test was not over {limit_s:g} s after its start: Locust (process {child.pid}) hangs"
    else:
        who = "it hangs"
        if fleet.plan.workers > len(fleet.workers):
            return (
                f"{missing or 'no worker has come'} after {start_within_s:g} s: start the others with `dyno "
                "load-worker`, see whether they reach this machine, or raise `connect_timeout_s`"
            )
        if fleet.plan.workers > 1:
            who = f"its {fleet.plan.workers} workers hang, or never came"
        what = f"Locust had not begun to load after {start_within_s:g} s: {who}"
    return f"{what}; all its processes were ended; {_last_lines(child)}"


def _last_lines(child: Child) -> str:
    return f"its last lines:\n{child.log_tail() or '(none)'}"
