"""What a person sees of a load test: its progress on stderr, its result on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from modeldyno.base.command.console import harmless, one_line, print_table, say
from modeldyno.base.units import short_duration

if TYPE_CHECKING:
    from modeldyno.base.records.load import LoadResult, PayloadKind, Percentile, Scenario
    from modeldyno.base.records.usage import MachineUsage, ResourceUsage, Spread, WorkerUsage
    from modeldyno.base.records.verdict import Verdict
    from modeldyno.loadgen.generator.progress import LoadProgress

MOST_CORES = 16
PLAIN_LINES = 20
"""At most about so many lines of progress where stderr is no terminal."""


@contextmanager
def live_progress() -> Iterator[Callable[[LoadProgress], None]]:
    """Yield what to call with each report: a line kept up to date on a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield _PlainLines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[numbers]}"),
    )
    # Drawn when there is news only: a clock of its own would take time from what is measured.
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bars:
        bar = bars.add_task("starting", total=None, numbers="")

        def show(state: LoadProgress) -> None:
            with suppress(OSError):  # nobody can be told: the work goes on
                _show(state)

        def _show(state: LoadProgress) -> None:
            if state.waiting_for:
                bars.update(bar, description=harmless(state.waiting_for), refresh=True)
                return
            done = min(state.elapsed_s, state.total_s)
            bars.update(bar, completed=done, total=state.total_s, description=phase(state))
            bars.update(bar, numbers=numbers(state), refresh=True)

        yield show


class _PlainLines:
    def __init__(self) -> None:
        self._next_s = 0.0

    def show(self, state: LoadProgress) -> None:
        if state.waiting_for:
            say(state.waiting_for)
        elif state.elapsed_s >= self._next_s:
            self._next_s = state.elapsed_s + state.total_s / PLAIN_LINES
            say(f"{phase(state)}: {numbers(state)}")


def phase(state: LoadProgress) -> str:
    """Word where a load test is."""
    if state.warmup:
        return "warming up"
    return "measuring" if state.seconds_left > 0 else "finishing"


def numbers(state: LoadProgress) -> str:
    """Word the last second of a load test, and the time left."""
    from modeldyno.base.records.levels import users_name

    users = "" if state.users is None else f"{users_name(state.users)}, "
    return (
        f"{users}{state.rate_rps:.1f} req/s, p50 {_ms(state.p50_ms)}, p99 {_ms(state.p99_ms)}, "
        f"{state.errors} errors, {short_duration(state.seconds_left)} left"
    )


def print_result(result: LoadResult) -> None:
    """Print a result: percentiles with intervals, throughput, errors, usage and every warning."""
    click.echo(headline(result))
    if result.stages:
        print_stages(result)
        click.echo("the whole, which mixes them:")
    rows = [_row(entry, result.samples) for entry in result.percentiles]
    right = ("latency", "95 % interval", "samples")
    print_table(("percentile", *right), rows, right=right)
    if result.payload_kinds:
        print_kinds(result.payload_kinds)
    for line in _lines(result):
        click.echo(line)


def print_kinds(kinds: Sequence[PayloadKind]) -> None:
    """Print a line for each kind of payload."""
    columns = ("payload", "share", "bodies", "bytes", "p50", "95 %", "p99", "95 %", "samples", "errors")
    rows = [
        (
            kind.name,
            f"{kind.share:.1%}",
            str(kind.bodies),
            str(kind.bytes_min)
            if kind.bytes_min == kind.bytes_max
            else f"{kind.bytes_min} to {kind.bytes_max}",
            *_two(kind.percentiles, 50.0, kind.samples),
            *_two(kind.percentiles, 99.0, kind.samples),
            str(kind.samples),
            str(kind.errors),
        )
        for kind in kinds
    ]
    print_table(columns, rows, right=columns[1:])


def print_stages(result: LoadResult) -> None:
    """Print a line for each phase or step."""
    from modeldyno.loadgen.spec.stages import load_name

    columns = ("stage", "req/s", "95 %", "p50", "95 %", "p99", "95 %", "samples", "errors")
    rows = [
        (
            load_name(stage.spec),
            f"{stage.throughput_rps.value:.4g}",
            f"{stage.throughput_rps.low:.4g} to {stage.throughput_rps.high:.4g}",
            *_two(stage.percentiles, 50.0, stage.samples),
            *_two(stage.percentiles, 99.0, stage.samples),
            str(stage.samples),
            str(stage.errors),
        )
        for stage in result.stages
    ]
    print_table(columns, rows, right=columns[1:])


def _two(entries: Sequence[Percentile], percent: float, samples: int) -> tuple[str, str]:
    entry = next(each for each in entries if each.percentile == percent)
    _, latency, interval, _ = _row(entry, samples)
    return latency, interval


def headline(result: LoadResult) -> str:
    """Word what was sent, and for how long it was measured."""
    spec = result.spec
    if spec.rate_rps is None:
        from modeldyno.loadgen.spec.stages import closed_loop

        load = f"closed loop, {closed_loop(spec)}"
    else:
        kind = f"gamma, burstiness {spec.burstiness:g}" if spec.arrival == "gamma" else spec.arrival
        kind = f"trace {spec.trace}" if spec.arrival == "trace" else kind
        load = f"open loop, {spec.rate_rps:g} req/s ({kind})"
    return (
        f"{spec.url}: {load}, {result.window_s:.3g} s after {spec.warmup_s:g} s of warm-up, "
        f"{spec.payload_bytes} bytes of {spec.content_type} a request"
    )


def _row(entry: Percentile, samples: int) -> tuple[str, str, str, str]:
    name = f"p{entry.percentile:g}"
    if entry.ms is None:
        from modeldyno.loadgen.stats.intervals import fewest_samples

        return name, "-", f"needs {fewest_samples(entry.percentile / 100)} samples", str(samples)
    high = "unbounded" if entry.high_ms is None else _ms(entry.high_ms)
    low = "0 ms" if entry.low_ms is None else _ms(entry.low_ms)
    return name, _ms(entry.ms), f"{low} to {high}", str(samples)


def _lines(result: LoadResult) -> Iterator[str]:
    if result.scenario is not None:
        yield from _scenario(result.scenario)
    yield from _end(result)
    rate = result.throughput_rps
    yield f"throughput  {rate.value:.4g} req/s (95 %: {rate.low:.4g} to {rate.high:.4g})"
    yield f"latency     mean {_ms(result.mean_ms)}, min {_ms(result.min_ms)}, max {_ms(result.max_ms)}"
    yield f"errors      {result.errors} of {result.samples + result.errors} ({result.error_rate:.2%})"
    for one in result.outcomes if result.errors else ():
        yield f"  {one.outcome:<9} {one.count} requests, {_spread(one.latency)}"
    for group in result.error_groups:
        status = f"HTTP {group.status}" if group.status is not None else "no answer"
        yield f"            {group.count} x {status}: {one_line(group.message)}"
    if result.lateness_p99_ms is not None:
        yield f"sent late   {_spread(result.lateness)} (by the generator itself; part of the latency)"
    yield f"server      {_usage(result.server)}"
    yield f"generator   {_usage(result.generator)}; event loop late {_spread(result.loop_lag)}"
    if len(result.workers) > 1:
        yield from map(_worker, result.workers)
    if result.machine is not None:
        yield from _machine(result.machine)
    for reason in result.invalid_reasons:
        yield f"INVALID: {reason}"
    for warning in result.warnings:
        yield f"warning: {warning}"
    if result.verdict is not None:
        yield from _verdict(result.verdict)


def _verdict(found: Verdict) -> Iterator[str]:
    """Say what it makes of its limits; the answer and its reasons come last."""
    for each in found.limits:
        if each.reason not in found.reasons:
            yield f"limit       {each.answer}: {each.reason}"
    reasons = f": {'; '.join(found.reasons)}" if found.reasons else ""
    yield f"limits      {found.answer.upper()}{reasons}"


def _end(result: LoadResult) -> Iterator[str]:
    stop = result.stop
    if result.cut_short:
        yield f"CUT SHORT   by {result.cut_short}, {result.window_s:.3g} s after the warm-up"
    elif stop is not None and (stop.why or stop.rule != "duration"):
        why = f": {stop.why}" if stop.why else ""
        yield f"ended by    {stop.rule}{why}, after {stop.at_s:.3g} s"


def _worker(worker: WorkerUsage) -> str:
    busy = "unknown" if worker.cpu_cores_mean is None else f"{worker.cpu_cores_mean:.2f} cores"
    late = f", sent late {_spread(worker.lateness)}" if worker.lateness else ""
    return (
        f"  worker {worker.worker}  {worker.host}, process {worker.pid}: {worker.requests} requests, "
        f"{busy}{late}, event loop late {_spread(worker.loop_lag)}"
    )


def _spread(times: Spread | None) -> str:
    if times is None:
        return "unknown"
    return f"p50 {_ms(times.p50_ms)}, p99 {_ms(times.p99_ms)}, max {_ms(times.max_ms)}"


def _scenario(found: Scenario) -> Iterator[str]:
    value = "-" if found.value is None else f"{found.value:.4g} {found.unit}"
    yield f"MLPerf      {found.name}: {value} ({found.metric})"
    yield f"            {found.queries} queries; the rules ask for {found.needed_queries}"
    for reason in found.reasons:
        yield f"            NOT VALID: {reason}"
    if not found.duration_met:
        yield "            NOT VALID: the rules ask for 600 s"


def _usage(usage: ResourceUsage | None) -> str:
    if usage is None:
        return "not on this machine, or not found"
    threads = ""
    if usage.threads_max is not None:
        threads = f", {usage.threads_max} thread{'' if usage.threads_max == 1 else 's'}"
    moved = usage.involuntary_switches
    taken = "" if moved is None else f", taken off a core {moved} times"
    return f"{usage.cpu_cores_mean:.2f} cores busy, {usage.memory_mib_max:.0f} MiB at most{threads}{taken}"


def _machine(machine: MachineUsage) -> Iterator[str]:
    cores = " ".join(f"{share:.0%}" for share in machine.core_busy[:MOST_CORES])
    more = f" and {len(machine.core_busy) - MOST_CORES} more" if len(machine.core_busy) > MOST_CORES else ""
    yield (
        f"machine     cores busy {cores}{more}; others took {machine.other_cores_mean:.2f} cores, "
        f"the hypervisor {machine.stolen_share:.1%}"
    )
    for gpu in machine.gpus:
        busy = "-" if gpu.busy_share_mean is None else f"{gpu.busy_share_mean:.0%}"
        memory = "-" if gpu.memory_mib_max is None else f"{gpu.memory_mib_max:.0f} MiB"
        yield f"gpu         {gpu.name}: {busy} busy, {memory} at most"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    digits = 3 if value < 10 else 2 if value < 100 else 1
    return f"{value:.{digits}f} ms"
