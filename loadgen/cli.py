"""`dyno load`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from modeldyno.base.command.console import say
from modeldyno.base.command.renamed import RenamingCommand
from modeldyno.base.command.shape_flag import fixed_shapes
from modeldyno.base.exit_codes import ANSWER_IS_NO, DONE, NOT_DECIDED
from modeldyno.base.flags import flags_of
from modeldyno.loadgen.refusals import check_options, check_payload, given, judged, staged
from modeldyno.loadgen.spec.options import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modeldyno.base.records.load import LoadResult
    from modeldyno.base.records.load_spec import LoadSpec
    from modeldyno.loadgen.generator.fleet import Workers
    from modeldyno.loadgen.payloads.body import Payload
    from modeldyno.loadgen.payloads.files import Mix
    from modeldyno.loadgen.signals import Interrupts


MLPERF_DURATION_S = 600.0
SHAPE_DURATION_S = 3600.0
"""The longest window of a shape that does not end of itself, unless --duration says another."""


@click.command("load", cls=RenamingCommand)
@flags_of(LoadOptions, "options")
def load_command(options: LoadOptions) -> int:
    """Load-test an endpoint with Locust and write a LoadResult.

    URL is a running endpoint, e.g. http://127.0.0.1:8080; without a path it gets /invocations. The default is
    a closed loop with one user; --rate makes it an open loop, where latency counts from the scheduled send.
    --limit judges the test.

    \b
    Example:
        dyno load http://127.0.0.1:8080 --rate 200 --duration 30 --limit p99_ms=50 -o load.json

    Exit codes: 0 measured, and within each --limit; 1 a limit is missed, or no rate that --find-rate tried
    meets them; 2 bad input, or nothing could be measured; 3 whether limits are met is not decided, or, with
    --strict, the test is void; 130 interrupted, 143 ended by SIGTERM.
    """
    check_options(options)
    fleet = replace(_workers(options), cpus=options.cpus)
    check_payload(options)
    from modeldyno.loadgen.display import live_progress
    from modeldyno.loadgen.run import run_load
    from modeldyno.loadgen.spec.traces import read_trace

    trace_s = read_trace(options.trace) if options.trace else ()
    spec = _spec(options, trace_s)
    limits = _limits(spec, options)
    payload = _payload(spec, options)
    if options.find_rate:
        from modeldyno.loadgen.search_cli import search
        from modeldyno.loadgen.spec.limit_names import parse_limits
        from modeldyno.loadgen.spec.rate_tests import RateTests

        spec = spec.model_copy(update={"users": None})
        longest_s = max(options.max_duration_s, spec.duration_s)
        return search(RateTests(spec, parse_limits(options.limits), longest_s), payload, fleet, options)

    def measure(interrupts: Interrupts) -> LoadResult:
        with live_progress() as show:
            return run_load(
                spec,
                payload,
                trace_s=trace_s,
                server_pid=options.server_pid,
                workers=fleet,
                samples_file=options.samples,
                on_progress=show,
                interrupts=interrupts,
            )

    return _measured(measure, limits, options)


def _spec(options: LoadOptions, trace_s: tuple[float, ...]) -> LoadSpec:
    from modeldyno.base.records.load_spec import LoadSpec
    from modeldyno.loadgen.server.endpoint import endpoint_url
    from modeldyno.loadgen.spec.arrivals import trace_rate
    from modeldyno.loadgen.spec.checks import check_numbers
    from modeldyno.loadgen.spec.stages import parse_phases, parse_shape, parse_stairs
    from modeldyno.loadgen.spec.stop_rules import parse_rules

    rate_rps, gamma = options.rate_rps, options.arrival == "gamma"
    if trace_s and rate_rps is None:
        rate_rps = trace_rate(trace_s)
    of_own_number = rate_rps is not None or bool(staged(options)) or options.scenario is not None
    spec = LoadSpec(
        url=endpoint_url(options.url),
        users=options.users if of_own_number else options.users or 1,
        phases=parse_phases(options.phases) if options.phases is not None else (),
        stairs=parse_stairs(options.stairs) if options.stairs is not None else None,
        shape=parse_shape(options.load_shape) if options.load_shape is not None else "",
        rate_rps=rate_rps,
        arrival="trace" if trace_s else options.arrival,
        burstiness=options.burstiness if gamma and not trace_s else 1.0,
        trace=options.trace.name if options.trace else "",
        warmup_s=options.warmup_s,
        duration_s=_duration_s(options),
        min_samples=options.min_samples,
        max_duration_s=options.max_duration_s if options.min_samples else None,
        stop_when=tuple(rule.text for rule in parse_rules(options.stop_when)),
        timeout_s=options.timeout_s,
        max_in_flight=options.max_in_flight,
        seed=options.seed,
        follow_redirects=options.follow_redirects,
        expect_status=options.expect_status,
        expect_json=options.expect_json,
        expect_body=options.expect_body or "",
    )
    if options.scenario is not None:
        return _scenario(spec, options.scenario, options.limits)
    if not options.find_rate:
        check_numbers(spec)
    return spec


def _limits(spec: LoadSpec, options: LoadOptions) -> dict[str, float]:
    """What this one test is held against; a search and a scenario have limits of their own."""
    if not judged(options):
        return {}
    from modeldyno.loadgen.spec.limit_names import parse_limits_of_one_test
    from modeldyno.loadgen.spec.limit_plan import check_limits

    limits = parse_limits_of_one_test(options.limits)
    check_limits(spec, limits)
    return limits


def _workers(options: LoadOptions) -> Workers:
    from modeldyno.loadgen.generator.fleet import Workers, parse_address

    if options.master_bind is None:
        return Workers(options.workers)
    host, port = parse_address(options.master_bind)
    remote = options.expect_workers
    say(f"waiting for {remote} worker{'s' if remote > 1 else ''}: dyno load-worker {host}:{port}")
    return Workers(options.workers, remote, host, port, options.connect_timeout_s)


def _duration_s(options: LoadOptions) -> float:
    """A shape ends of itself, and MLPerf has its own rule: their windows have other defaults."""
    if given("duration_s"):
        return options.duration_s
    if options.load_shape is not None:
        return SHAPE_DURATION_S
    return MLPERF_DURATION_S if options.scenario and not options.find_rate else options.duration_s


def _scenario(spec: LoadSpec, name: str, limits: tuple[str, ...]) -> LoadSpec:
    from modeldyno.loadgen.spec.limit_names import parse_limits
    from modeldyno.loadgen.spec.mlperf import scenario_spec

    found = parse_limits(limits) if limits else {}
    return scenario_spec(spec, name, bound_ms=found.get("p99_ms"))


def _payload(spec: LoadSpec, options: LoadOptions) -> Payload | Mix:
    from modeldyno.loadgen.payloads.files import read_mix
    from modeldyno.loadgen.server.signature import payload_from_server

    if options.payload is not None:
        return read_mix(options.payload, options.content_type, rows=options.rows)
    return payload_from_server(spec.url, spec.seed, fixed_shapes(options.shapes))


def _measured(
    measure: Callable[[Interrupts], LoadResult], limits: Mapping[str, float], options: LoadOptions
) -> int:
    """Measure, judge, write and print; an interrupt ends it in order. Give the exit code."""
    from modeldyno.loadgen.keep import keep_and_print
    from modeldyno.loadgen.signals import CutShortError, Interrupts
    from modeldyno.loadgen.stats.samples_file import SamplesLostError
    from modeldyno.loadgen.verdict.limits import with_verdict

    lost: SamplesLostError | None = None
    with Interrupts() as interrupts:
        try:
            result = measure(interrupts)
        except CutShortError as error:
            say(str(error))
            return _ended(interrupts)
        except SamplesLostError as error:
            result, lost = error.result, error
        if limits:
            result = with_verdict(result, limits)
        keep_and_print(result, options.output, lambda: _print(result, as_json=options.as_json))
        if lost is not None:
            raise lost
        return _ended(interrupts) or exit_code(result, strict=options.strict)


def exit_code(result: LoadResult, *, strict: bool) -> int:
    """Give the exit code of a load test: what its limits say, else whether it is void, when that is asked."""
    if result.verdict is not None:
        return {"met": DONE, "missed": ANSWER_IS_NO}.get(result.verdict.answer, NOT_DECIDED)
    return NOT_DECIDED if strict and not result.valid else DONE


def _ended(interrupts: Interrupts) -> int:
    """Say what ended the command from outside, if anything did; give the exit code of that."""
    if interrupts.by:
        say(interrupts.last_words)
    return interrupts.exit_code


def _print(result: LoadResult, *, as_json: bool) -> None:
    from modeldyno.loadgen.display import print_result

    if as_json:
        click.echo(result.model_dump_json(indent=2))
    else:
        print_result(result)
