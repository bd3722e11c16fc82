"""`dyno load --find-rate`: the search, its progress and its table."""

from __future__ import annotations

import math
from pathlib import Path

import click

from dyno.console import print_table, say
from dyno.errors import ConfigError
from dyno.records import LoadResult, LoadSpec, RateSearch, RateStep, write_record
from loadgen.fleet import Workers
from loadgen.mlperf import EARLY_STOPPING_SHARE, PERCENTILES, SERVER, within_needed
from loadgen.payload import Payload
from loadgen.payload_files import Mix
from loadgen.run import run_load
from loadgen.search import SPARE, find_rate, parse_limits, planned_samples, samples_needed

EXIT_NONE_MEETS_LIMITS = 1
DEFAULT_START_RPS = 10.0


def search(
    spec: LoadSpec,
    payload: Payload | Mix,
    limit_texts: tuple[str, ...],
    *,
    precision: float,
    longest_s: float,
    server_pid: int | None,
    cpus: tuple[int, ...] | None,
    workers: Workers,
    output: Path | None,
    as_json: bool,
) -> int:
    """Search, tell each step, print and write the result; exit code 1 when no rate meets the limits."""
    limits = parse_limits(limit_texts)
    needed = samples_needed(limits)
    if spec.scenario:
        needed = max(needed, EARLY_STOPPING_SHARE * within_needed(0, PERCENTILES[SERVER]))
    planned = planned_samples(needed)
    longest_s = max(longest_s, spec.duration_s)
    start_rps, least_rps = spec.rate_rps or DEFAULT_START_RPS, planned / longest_s
    if start_rps < least_rps:
        raise ConfigError(
            f"the limits need {planned} requests, which take {planned / start_rps:.0f} s at {start_rps:g} "
            f"requests/s: raise --rate to {math.ceil(least_rps)} or --max-duration"
        )

    def measure(rate_rps: float) -> LoadResult:
        step = {"rate_rps": rate_rps, "min_samples": planned, "max_duration_s": SPARE * longest_s}
        return run_load(
            spec.model_copy(update=step), payload, server_pid=server_pid, cpus=cpus, workers=workers
        )

    found = find_rate(
        measure,
        limits,
        url=spec.url,
        start_rps=start_rps,
        precision=precision,
        least_rps=least_rps,
        on_step=_tell,
    )
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        _print(found)
    if output is not None:
        write_record(output, found)
        say(f"wrote {output}")
    return EXIT_NONE_MEETS_LIMITS if found.met_rps is None else 0


def _tell(step: RateStep) -> None:
    say(f"{step.rate_rps:.4g} req/s: {'met' if step.met else '; '.join(step.reasons)}")


def _print(found: RateSearch) -> None:
    names = list(found.limits)
    columns = ("req/s", "met", *names, "answered/s", "samples")
    rows = [
        (
            f"{step.rate_rps:.4g}",
            "yes" if step.certain else "yes, not certain" if step.met else "no",
            *("-" if step.figures[name] is None else f"{step.figures[name]:.4g}" for name in names),
            f"{step.throughput_rps:.4g}",
            str(step.samples),
        )
        for step in sorted(found.steps, key=lambda step: step.rate_rps)
    ]
    print_table(columns, rows, right=("req/s", *columns[2:]))
    limits = ", ".join(f"{name} <= {value:g}" for name, value in found.limits.items())
    if found.met_rps is None:
        lowest = min(step.rate_rps for step in found.steps)
        click.echo(f"no rate met the limits ({limits}); {lowest:.4g} was the lowest tried")
        return
    above = "no failing rate was found" if found.failed_rps is None else f"{found.failed_rps:.4g} fails"
    click.echo(f"{found.met_rps:.4g} req/s meet {limits}; {above}")
