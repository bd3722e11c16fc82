"""`dyno load`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from dyno.console import say
from dyno.cores import parse_cores
from dyno.errors import ConfigError

if TYPE_CHECKING:
    from dyno.records import LoadResult, LoadSpec
    from loadgen.fleet import Workers
    from loadgen.payload import Payload
    from loadgen.payload_files import Mix


class _Seconds(click.FloatRange):
    """A finite number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


EXIT_INVALID = 1
MLPERF_DURATION_S = 600.0
SHAPE_DURATION_S = 3600.0
"""The longest window of a shape that does not end of itself, unless --duration says another."""


def _cores(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    cores = parse_cores(ctx, param, value)
    if cores is None:
        return None
    from dyno.host import usable_cores

    if not set(cores) <= set(usable_cores()):
        usable = ",".join(map(str, usable_cores()))
        raise ConfigError(f"--cpus {value}: this process may use the cores {usable} only")
    return cores


@click.command("load")
@click.argument("url")
@click.option(
    "--users",
    type=click.IntRange(1, 10_000),
    help="Closed loop: users who wait for each answer (default: 1).",
)
@click.option(
    "--scenario",
    type=click.Choice(["SingleStream", "MultiStream", "Server", "Offline"]),
    help="An MLPerf scenario and its rules, over 600 s unless --duration says less; Server: --rate, --limit.",
)
@click.option(
    "--phases",
    "phases_text",
    metavar="USERS:PER_MINUTE:SECONDS[,...]",
    help="Closed loop: each phase begins with USERS, and PER_MINUTE join them; e.g. 1:2:120,4:0:60.",
)
@click.option(
    "--stairs",
    "stairs_text",
    metavar="steps=N,users=N,seconds=S",
    help="Closed loop: as many more users at each step, which lasts so many seconds.",
)
@click.option(
    "--shape",
    "shape_text",
    metavar="FILE.py:CLASS",
    help="Closed loop: users as a LoadTestShape of your own says, until its tick() returns None.",
)
@click.option(
    "--rate",
    "rate_rps",
    type=_Seconds(min=0, min_open=True),
    help="Open loop: arrivals a second, whether or not answers come.",
)
@click.option(
    "--arrival",
    type=click.Choice(["poisson", "constant", "gamma"]),
    default="poisson",
    show_default=True,
    help="Open loop: random, even, or bursty gaps between arrivals.",
)
@click.option(
    "--burstiness",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    help="With --arrival gamma: squared coefficient of variation of the gaps; 1 is Poisson, more are bursts.",
)
@click.option(
    "--trace",
    "trace_path",
    type=click.Path(path_type=Path),
    help="Open loop: replay recorded arrival times (seconds, one a line), at their own rate or at --rate.",
)
@click.option(
    "--warmup", "warmup_s", type=_Seconds(min=0), default=2.0, show_default=True, help="Seconds not counted."
)
@click.option(
    "--duration",
    "duration_s",
    type=_Seconds(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds measured, after the warm-up; of a --shape, the most (default: an hour).",
)
@click.option(
    "--min-samples",
    type=click.IntRange(0),
    default=0,
    help="Measure on until so many requests have succeeded; 368 are enough for p99.",
)
@click.option(
    "--max-duration",
    "max_duration_s",
    type=_Seconds(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="The longest window for --min-samples, in seconds.",
)
@click.option(
    "--stop-when",
    "stop_texts",
    multiple=True,
    metavar="RULE[,...]",
    help="End the test before its time: p99>50ms, errors>1%, requests>=10000, p99_width<5%, flat.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=_Seconds(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds after which a request counts as failed.",
)
@click.option(
    "--payload",
    "payload_text",
    metavar="PATH[=WEIGHT,...]",
    help="Request bodies: files, or folders of them (default: random tensors for the server's inputs).",
)
@click.option(
    "--rows",
    is_flag=True,
    help="Each row (first axis) of the .npy and .npz files of --payload is a request of its own.",
)
@click.option("--content-type", help="Content type of --payload (default: by the file's ending).")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the random tensors and of the Poisson arrivals.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write the LoadResult to this JSON file."
)
@click.option(
    "--samples",
    "samples_file",
    type=click.Path(path_type=Path),
    help="Write every request to this file: .parquet (needs pyarrow), .csv or .npz.",
)
@click.option(
    "--server-pid",
    type=click.IntRange(1),
    help="Process to read CPU and memory of, with its children (default: the local one that listens).",
)
@click.option(
    "--cpus", callback=_cores, help="Cores the load generator stays on, e.g. 0,1 (default: all usable ones)."
)
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=1,
    show_default=True,
    help="Processes that send; above 1 they are workers of a Locust master, and share the load among them.",
)
@click.option(
    "--expect-workers",
    type=click.IntRange(0, 256),
    default=0,
    help="Wait for so many more on other machines, where `dyno load-worker` starts them.",
)
@click.option(
    "--master-bind",
    metavar="HOST[:PORT]",
    help="With --expect-workers: where the master listens; whoever reaches it can join, so no open network.",
)
@click.option(
    "--find-rate",
    is_flag=True,
    help="Search the highest open-loop rate that meets each --limit, from --rate (default 10) on.",
)
@click.option(
    "--limit",
    "limit_texts",
    multiple=True,
    metavar="NAME=NUMBER",
    help="With --find-rate, --scenario Server: e.g. p99_ms=50; p50_ms to p99.9_ms, error_rate (0.01).",
)
@click.option(
    "--precision",
    type=click.FloatRange(0.005, 1),
    default=0.05,
    show_default=True,
    help="With --find-rate: how near the failing rate is to the one found, as a share of it.",
)
@click.option("--strict", is_flag=True, help="Exit 1 when the generator could not keep up: no valid test.")
@click.option("--json", "as_json", is_flag=True, help="Print the LoadResult as JSON.")
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
    warmup_s: float,
    duration_s: float,
    min_samples: int,
    max_duration_s: float,
    stop_texts: tuple[str, ...],
    timeout_s: float,
    payload_text: str | None,
    rows: bool,
    content_type: str | None,
    seed: int,
    output: Path | None,
    samples_file: Path | None,
    server_pid: int | None,
    cpus: tuple[int, ...] | None,
    workers: int,
    expect_workers: int,
    master_bind: str | None,
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
    _one_loop(closed, opened=rate_rps is not None or trace_path is not None)
    if (phases_text or stairs_text) and (min_samples or _given("duration_s")):
        raise click.UsageError("Phases and stairs say how long they last: no --duration, no --min-samples.")
    if min_samples and max_duration_s < duration_s:
        raise click.UsageError("--max-duration is shorter than --duration.")
    if bool(limit_texts) != (find_rate or scenario == "Server"):
        raise click.UsageError("--limit belongs to --find-rate and to --scenario Server, which need it.")
    if find_rate and (closed or trace_path is not None or samples_file is not None):
        raise click.UsageError("--find-rate searches an open loop's rate: no --users, --trace or --samples.")
    fleet = _workers(workers, expect_workers, master_bind, searching=find_rate)
    if (content_type is not None or rows) and payload_text is None:
        raise click.UsageError("--content-type and --rows need --payload.")
    from dyno.records import LoadSpec, write_record
    from loadgen.arrivals import read_trace, trace_rate
    from loadgen.display import live_progress
    from loadgen.endpoint import endpoint_url
    from loadgen.run import run_load
    from loadgen.shapes import parse_phases, parse_shape, parse_stairs
    from loadgen.stop_rules import parse_rules

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
        seed=seed,
    )
    if scenario is not None:
        spec = _scenario(spec, scenario, limit_texts)
    payload = _payload(spec, payload_text, content_type, rows=rows)
    if find_rate:
        from loadgen.search_cli import search

        return search(
            spec.model_copy(update={"users": None}),
            payload,
            limit_texts,
            precision=precision,
            longest_s=max_duration_s,
            server_pid=server_pid,
            cpus=cpus,
            workers=fleet,
            output=output,
            as_json=as_json,
        )
    with live_progress() as show:
        result = run_load(
            spec,
            payload,
            trace_s=trace_s,
            server_pid=server_pid,
            cpus=cpus,
            workers=fleet,
            samples_file=samples_file,
            on_progress=show,
        )
    _print(result, as_json=as_json)
    if output is not None:
        write_record(output, result)
        say(f"wrote {output}")
    return EXIT_INVALID if strict and not result.valid else 0


def _workers(local: int, remote: int, bind: str | None, *, searching: bool) -> Workers:
    if bool(remote) != (bind is not None):
        raise click.UsageError("--expect-workers and --master-bind belong together.")
    if searching and remote:
        raise click.UsageError("--find-rate runs many tests, a worker elsewhere joins one: use --workers.")
    from loadgen.fleet import Workers, parse_address

    if bind is None:
        return Workers(local)
    host, port = parse_address(bind)
    say(f"waiting for {remote} worker{'s' if remote > 1 else ''}: dyno load-worker {host}:{port}")
    return Workers(local, remote, host, port)


def _one_loop(closed: int, *, opened: bool) -> None:
    if closed and opened:
        raise click.UsageError(
            "--users, --phases, --stairs and --shape make a closed loop, --rate or --trace an open one: "
            "give one of them."
        )
    if closed > 1:
        raise click.UsageError("--users, --phases, --stairs and --shape exclude each other.")


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
    from loadgen.mlperf import scenario_spec
    from loadgen.search import parse_limits

    limits = parse_limits(limit_texts) if limit_texts else {}
    return scenario_spec(spec, name, bound_ms=limits.get("p99_ms"))


def _payload(spec: LoadSpec, text: str | None, content_type: str | None, *, rows: bool) -> Payload | Mix:
    from loadgen.payload_files import read_mix
    from loadgen.signature import payload_from_server

    if text is not None:
        return read_mix(text, content_type, rows=rows)
    return payload_from_server(spec.url, spec.seed)


def _print(result: LoadResult, *, as_json: bool) -> None:
    from loadgen.display import print_result

    if as_json:
        click.echo(result.model_dump_json(indent=2))
    else:
        print_result(result)
