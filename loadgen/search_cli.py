"""`dyno load --find-rate`: the search, its progress and its table."""

from __future__ import annotations

import math

import click

from modeldyno.base.command.console import print_table, say
from modeldyno.base.errors import ConfigError
from modeldyno.base.exit_codes import ANSWER_IS_NO, DONE, NOT_DECIDED
from modeldyno.base.records.load import LoadResult, RateSearch, RateStep
from modeldyno.loadgen.generator.fleet import Workers
from modeldyno.loadgen.keep import keep_and_print
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Mix, first_body
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.search import SearchPlan, find_rate
from modeldyno.loadgen.server.idle import Idle
from modeldyno.loadgen.signals import Interrupts
from modeldyno.loadgen.spec.options import LoadOptions
from modeldyno.loadgen.spec.rate_tests import RateTests

DEFAULT_START_RPS = 10.0


def search(tests: RateTests, payload: Payload | Mix, workers: Workers, options: LoadOptions) -> int:
    """Search, tell each step, write and print the result.

    Exit code 1 when no rate meets the limits, 3 when that, or the highest that does, could not be
    decided.
    """
    start_rps, least_rps = tests.spec.rate_rps or DEFAULT_START_RPS, tests.least_rps
    if start_rps < least_rps:
        raise ConfigError(
            f"the limits need {tests.samples} requests, which take {tests.samples / start_rps:.0f} s at "
            f"{start_rps:g} requests/s: raise --rate to {math.ceil(least_rps)} or --max-duration"
        )

    with Interrupts() as interrupts:

        def measure(rate_rps: float) -> LoadResult:
            return run_load(
                tests.at(rate_rps),
                payload,
                server_pid=options.server_pid,
                workers=workers,
                interrupts=interrupts,
            )

        found = find_rate(
            measure,
            SearchPlan(tests.limits, start_rps, options.precision, least_rps),
            url=tests.spec.url,
            idle=Idle(tests.spec.url, first_body(payload), tell=say, stopped=lambda: bool(interrupts.by)),
            on_step=_tell,
        )
        keep_and_print(found, options.output, lambda: _print(found, as_json=options.as_json))
        if interrupts.by:
            say(interrupts.last_words)
        return interrupts.exit_code or _exit_code(found)


def _exit_code(found: RateSearch) -> int:
    if found.undecided:
        return NOT_DECIDED
    return ANSWER_IS_NO if found.met_rps is None else DONE


def _tell(step: RateStep) -> None:
    what = "met" if step.met else "; ".join(step.reasons)
    again, void = " once more" if step.confirms else "", "void: " if step.void else ""
    say(f"{step.rate_rps:.4g} req/s{again}: {void}{what}")


def _print(found: RateSearch, *, as_json: bool) -> None:
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    names = list(found.limits)
    columns = ("req/s", "met", *names, "answered/s", "samples")
    rows = [
        (
            f"{step.rate_rps:.4g}",
            "void" if step.void else "yes" if step.certain else "yes, not certain" if step.met else "no",
            *("-" if step.figures[name] is None else f"{step.figures[name]:.4g}" for name in names),
            f"{step.throughput_rps:.4g}",
            str(step.samples),
        )
        for step in sorted(found.steps, key=lambda step: step.rate_rps)
    ]
    print_table(columns, rows, right=("req/s", *columns[2:]))
    limits = ", ".join(f"{name} <= {value:g}" for name, value in found.limits.items())
    if found.met_rps is not None:
        above = "no failing rate was found" if found.failed_rps is None else f"{found.failed_rps:.4g} fails"
        once = "" if found.confirmed else " in one load test, which none confirmed"
        click.echo(f"{found.met_rps:.4g} req/s meet {limits}{once}; {above}")
    elif found.failed_rps is not None:
        click.echo(
            f"no rate met the limits ({limits}); {found.failed_rps:.4g} was the lowest that was measured"
        )
    if found.undecided:
        click.echo(f"not decided: {found.undecided}")
