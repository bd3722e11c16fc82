"""`dyno load`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from modeldyno.base.command.console import say
from modeldyno.base.command.shape_flag import fixed_shapes
from modeldyno.loadgen.spec import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from modeldyno.base.records.run import LoadResult, LoadSpec
    from modeldyno.loadgen.generator.fleet import Workers
    from modeldyno.loadgen.interrupts import Interrupts
    from modeldyno.loadgen.payloads.body import Payload
    from modeldyno.loadgen.payloads.files import Mix


EXIT_INVALID = 1
MLPERF_DURATION_S = 600.0
SHAPE_DURATION_S = 3600.0
"""The longest window of a shape that does not end of itself, unless --duration says another."""


@click.command("load")
@click.argument("url")
@options.load
@options.length
@options.sent
@options.kept
@options.processes
@options.search
@options.said
def load_command(
    *,
    url: str,
    users: int | None,
    scenario: str | None,
    phases_text: str | None,
    stairs_text: str | None,
    shape_text: str | None,
    rate_rps: float | None,
    arrival: Literal["poisson", "constant", "gamma"],
    burstiness: float,
    trace_path: Path | None,
    max_in_flight: int | None,
    warmup_s: float,
    duration_s: float,
    min_samples: int,
    max_duration_s: float,
    stop_texts: tuple[str, ...],
    timeout_s: float,
    payload_text: str | None,
    rows: bool,
    shapes: tuple[str, ...],
    content_type: str | None,
    seed: int,
    output: Path | None,
    samples_file: Path | None,
    server_pid: int | None,
    cpus: tuple[int, ...] | None,
    workers: int,
    expect_workers: int,
    master_bind: str | None,
    connect_s: float,
    find_rate: bool,
    limit_texts: tuple[str, ...],
    precision: float,
    strict: bool,
    as_json: bool,
) -> int:
    """Load-test an endpoint with Locust and write a LoadResult.

    URL is a running endpoint, e.g. http://127.0.0.1:8080; without a path it gets /invocations. The default is
    a closed loop with one user; --rate makes it an open loop, where latency counts from the scheduled send.
    """
    staged = [text for text in (phases_text, stairs_text, shape_text) if text is not None]
    closed = len(staged) + (users is not None)
    opened = rate_rps is not None or trace_path is not None
    _one_loop(closed, opened=opened, bounded=max_in_flight is not None and not find_rate)
    if (phases_text or stairs_text) and (min_samples or _given("duration_s")):
        raise click.UsageError("Phases and stairs say how long they last: no --duration, no --min-samples.")
    if min_samples and max_duration_s < duration_s:
        raise click.UsageError("--max-duration is shorter than --duration.")
    if bool(limit_texts) != (find_rate or scenario == "Server"):
        raise click.UsageError("--limit belongs to --find-rate and to --scenario Server, which need it.")
    if find_rate and (closed or trace_path is not None or samples_file is not None):
        raise click.UsageError("--find-rate searches an open loop's rate: no --users, --trace or --samples.")
    _of_no_effect(
        opened=opened or find_rate or scenario == "Server",
        traced=trace_path is not None,
        gamma=arrival == "gamma",
        searching=find_rate,
        sampled=min_samples > 0,
    )
    fleet = _workers(workers, expect_workers, master_bind, connect_s, searching=find_rate)
    fleet = replace(fleet, cpus=cpus)
    _one_payload(payload_text, needing=content_type is not None or rows, shaped=bool(shapes))
    from modeldyno.base.records.run import LoadSpec
    from modeldyno.loadgen.display import live_progress
    from modeldyno.loadgen.run import run_load
    from modeldyno.loadgen.server.endpoint import endpoint_url
    from modeldyno.loadgen.spec.arrivals import read_trace, trace_rate
    from modeldyno.loadgen.spec.stages import parse_phases, parse_shape, parse_stairs
    from modeldyno.loadgen.spec.stop_rules import parse_rules

    trace_s = read_trace(trace_path) if trace_path else ()
    if trace_s and rate_rps is None:
        rate_rps = trace_rate(trace_s)
    spec = LoadSpec(
        url=endpoint_url(url),
        users=users if rate_rps is not None or staged or scenario is not None else users or 1,
        phases=parse_phases(phases_text) if phases_text is not None else (),
        stairs=parse_stairs(stairs_text) if stairs_text is not None else None,
        shape=parse_shape(shape_text) if shape_text is not None else "",
        rate_rps=rate_rps,
        arrival="trace" if trace_s else arrival,
        burstiness=burstiness if arrival == "gamma" and not trace_s else 1.0,
        trace=trace_path.name if trace_path else "",
        warmup_s=warmup_s,
        duration_s=_duration_s(
            duration_s, shape=shape_text is not None, mlperf=scenario is not None and not find_rate
        ),
        min_samples=min_samples,
        max_duration_s=max_duration_s if min_samples else None,
        stop_when=tuple(rule.text for rule in parse_rules(stop_texts)),
        timeout_s=timeout_s,
        max_in_flight=max_in_flight,
        seed=seed,
    )
    if scenario is not None:
        spec = _scenario(spec, scenario, limit_texts)
    payload = _payload(spec, payload_text, content_type, shapes, rows=rows)
    if find_rate:
        from modeldyno.loadgen.search_cli import search
        from modeldyno.loadgen.spec.limit_names import parse_limits
        from modeldyno.loadgen.spec.rate_tests import RateTests

        spec = spec.model_copy(update={"users": None})
        return search(
            RateTests(spec, parse_limits(limit_texts), max(max_duration_s, spec.duration_s)),
            payload,
            precision=precision,
            server_pid=server_pid,
            workers=fleet,
            output=output,
            as_json=as_json,
        )

    def measure(interrupts: Interrupts) -> LoadResult:
        with live_progress() as show:
            return run_load(
                spec,
                payload,
                trace_s=trace_s,
                server_pid=server_pid,
                workers=fleet,
                samples_file=samples_file,
                on_progress=show,
                interrupts=interrupts,
            )

    return _measured(measure, output, as_json=as_json, strict=strict)


def _measured(
    measure: Callable[[Interrupts], LoadResult], output: Path | None, *, as_json: bool, strict: bool
) -> int:
    """Measure, write and print; an interrupt ends it in order. Give the exit code."""
    from modeldyno.loadgen.interrupts import CutShortError, Interrupts
    from modeldyno.loadgen.keep import keep_and_print
    from modeldyno.loadgen.stats.samples_file import SamplesLostError

    lost: SamplesLostError | None = None
    with Interrupts() as interrupts:
        try:
            result = measure(interrupts)
        except CutShortError as error:
            say(str(error))
            return _ended(interrupts)
        except SamplesLostError as error:
            result, lost = error.result, error
        keep_and_print(result, output, lambda: _print(result, as_json=as_json))
        if lost is not None:
            raise lost
        return _ended(interrupts) or (EXIT_INVALID if strict and not result.valid else 0)


def _ended(interrupts: Interrupts) -> int:
    """Say what ended the command from outside, if anything did; give the exit code of that."""
    if interrupts.by:
        say(interrupts.last_words)
    return interrupts.exit_code


def _workers(local: int, remote: int, bind: str | None, within_s: float, *, searching: bool) -> Workers:
    if _given("connect_s") and not remote:
        raise click.UsageError("--connect-timeout is for the workers of --expect-workers.")
    if bool(remote) != (bind is not None):
        raise click.UsageError("--expect-workers and --master-bind belong together.")
    if searching and remote:
        raise click.UsageError("--find-rate runs many tests, a worker elsewhere joins one: use --workers.")
    from modeldyno.loadgen.generator.fleet import Workers, parse_address

    if bind is None:
        return Workers(local)
    host, port = parse_address(bind)
    say(f"waiting for {remote} worker{'s' if remote > 1 else ''}: dyno load-worker {host}:{port}")
    return Workers(local, remote, host, port, within_s)


def _one_loop(closed: int, *, opened: bool, bounded: bool) -> None:
    if bounded and not opened:
        raise click.UsageError("--max-in-flight bounds an open loop: give --rate, --trace or --find-rate.")
    if closed and opened:
        raise click.UsageError(
            "--users, --phases, --stairs and --load-shape make a closed loop, --rate or --trace an open one: "
            "give one of them."
        )
    if closed > 1:
        raise click.UsageError("--users, --phases, --stairs and --load-shape exclude each other.")


def _of_no_effect(*, opened: bool, traced: bool, gamma: bool, searching: bool, sampled: bool) -> None:
    """Refuse what was asked for and would change nothing: whoever gave it believes otherwise."""
    rules = {
        "arrival": (opened and not traced, "--arrival is for an open loop whose times no --trace says."),
        "burstiness": (gamma, "--burstiness is for --arrival gamma."),
        "precision": (searching, "--precision is for --find-rate."),
        "max_duration_s": (sampled or searching, "--max-duration is for --min-samples and --find-rate."),
        "min_samples": (
            not searching,
            "--find-rate takes the samples that its limits need: no --min-samples.",
        ),
        "strict": (
            not searching,
            "--find-rate repeats void tests, and exits 3 where they stay so: no --strict.",
        ),
    }
    for name, (has_effect, why) in rules.items():
        if _given(name) and not has_effect:
            raise click.UsageError(why)


def _one_payload(text: str | None, *, needing: bool, shaped: bool) -> None:
    if needing and text is None:
        raise click.UsageError("--content-type and --rows need --payload.")
    if shaped and text is not None:
        raise click.UsageError("--shape is for random input; what --payload names has a shape of its own.")


def _duration_s(duration_s: float, *, shape: bool, mlperf: bool) -> float:
    """A shape ends of itself, and MLPerf has its own rule: their windows have other defaults."""
    if _given("duration_s"):
        return duration_s
    if shape:
        return SHAPE_DURATION_S
    return MLPERF_DURATION_S if mlperf else duration_s


def _given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not ParameterSource.DEFAULT


def _scenario(spec: LoadSpec, name: str, limit_texts: tuple[str, ...]) -> LoadSpec:
    from modeldyno.loadgen.spec.limit_names import parse_limits
    from modeldyno.loadgen.spec.mlperf import scenario_spec

    limits = parse_limits(limit_texts) if limit_texts else {}
    return scenario_spec(spec, name, bound_ms=limits.get("p99_ms"))


def _payload(
    spec: LoadSpec, text: str | None, content_type: str | None, shapes: tuple[str, ...], *, rows: bool
) -> Payload | Mix:
    from modeldyno.loadgen.payloads.files import read_mix
    from modeldyno.loadgen.server.signature import payload_from_server

    if text is not None:
        return read_mix(text, content_type, rows=rows)
    return payload_from_server(spec.url, spec.seed, fixed_shapes(shapes))


def _print(result: LoadResult, *, as_json: bool) -> None:
    from modeldyno.loadgen.display import print_result

    if as_json:
        click.echo(result.model_dump_json(indent=2))
    else:
        print_result(result)
