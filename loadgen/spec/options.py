"""The options of `dyno load`, in the order of its help."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from modeldyno.base.command.outputs import OutputFile
from modeldyno.base.errors import ConfigError
from modeldyno.base.host.cores import core_numbers

F = TypeVar("F", bound=Callable[..., Any])


class _Seconds(click.FloatRange):
    """A finite number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def _cores(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    cores = core_numbers(value)
    from modeldyno.base.host.facts import usable_cores

    if not set(cores) <= set(usable_cores()):
        usable = ",".join(map(str, usable_cores()))
        raise ConfigError(f"--cpus {value}: this process may use the cores {usable} only")
    return cores


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


load = _together(
    click.option(
        "--users",
        type=click.IntRange(1, 10_000),
        help="Closed loop: users who wait for each answer (default: 1).",
    ),
    click.option(
        "--scenario",
        type=click.Choice(["SingleStream", "MultiStream", "Server", "Offline"]),
        help="An MLPerf scenario and its rules, over 600 s unless --duration says "
        "less; Server: --rate, --limit.",
    ),
    click.option(
        "--phases",
        "phases_text",
        metavar="USERS:PER_MINUTE:SECONDS[,...]",
        help="Closed loop: each phase begins with USERS, and PER_MINUTE join them; e.g. 1:2:120,4:0:60.",
    ),
    click.option(
        "--stairs",
        "stairs_text",
        metavar="steps=N,users=N,seconds=S",
        help="Closed loop: as many more users at each step, which lasts so many seconds.",
    ),
    click.option(
        "--load-shape",
        "shape_text",
        metavar="FILE.py:CLASS",
        help="Closed loop: users as a LoadTestShape of your own says, until its tick() returns None.",
    ),
    click.option(
        "--rate",
        "rate_rps",
        type=_Seconds(min=0, min_open=True),
        help="Open loop: arrivals a second, whether or not answers come.",
    ),
    click.option(
        "--arrival",
        type=click.Choice(["poisson", "constant", "gamma"]),
        default="poisson",
        show_default=True,
        help="Open loop: random, even, or bursty gaps between arrivals.",
    ),
    click.option(
        "--burstiness",
        type=click.FloatRange(min=0, min_open=True),
        default=4.0,
        show_default=True,
        help="With --arrival gamma: squared coefficient of variation of the gaps; 1 "
        "is Poisson, more are bursts.",
    ),
    click.option(
        "--max-in-flight",
        type=click.IntRange(1, 60_000),
        help="Open loop: the most requests in flight; a test that meets it is void (default: what memory and "
        "open files allow, at most 10,000).",
    ),
    click.option(
        "--trace",
        "trace_path",
        type=click.Path(path_type=Path),
        help="Open loop: replay recorded arrival times (seconds, one a line), at "
        "their own rate or at --rate.",
    ),
)
"""What load: closed or open, and its shape."""

length = _together(
    click.option(
        "--warmup",
        "warmup_s",
        type=_Seconds(min=0),
        default=2.0,
        show_default=True,
        help="Seconds not counted.",
    ),
    click.option(
        "--duration",
        "duration_s",
        type=_Seconds(min=0, min_open=True),
        default=10.0,
        show_default=True,
        help="Seconds measured, after the warm-up; of a --load-shape, the most (default: an hour).",
    ),
    click.option(
        "--min-samples",
        type=click.IntRange(0),
        default=0,
        help="Measure on until so many requests have succeeded; 368 are enough for p99.",
    ),
    click.option(
        "--max-duration",
        "max_duration_s",
        type=_Seconds(min=0, min_open=True),
        default=120.0,
        show_default=True,
        help="The longest window for --min-samples, in seconds.",
    ),
    click.option(
        "--stop-when",
        "stop_texts",
        multiple=True,
        metavar="RULE[,...]",
        help="End the test before its time: p99>50ms, errors>1%, requests>=10000, p99_width<5%, flat.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=_Seconds(min=0, min_open=True),
        default=30.0,
        show_default=True,
        help="Seconds after which a request counts as failed.",
    ),
)
"""How long, and what ends it before its time."""

sent = _together(
    click.option(
        "--payload",
        "payload_text",
        metavar="PATH[=WEIGHT,...]",
        help="Request bodies: files, or folders of them (default: random tensors for the server's inputs).",
    ),
    click.option(
        "--rows",
        is_flag=True,
        help="Each row (first axis) of the .npy and .npz files of --payload is a request of its own.",
    ),
    click.option(
        "--shape",
        "shapes",
        multiple=True,
        metavar="NAME=8,3,224,224",
        help="Shape of the random input, where the model takes several (default: the smallest).",
    ),
    click.option("--content-type", help="Content type of --payload (default: by the file's ending)."),
    click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="Seed of the random tensors and of the Poisson arrivals.",
    ),
)
"""What is sent."""

kept = _together(
    click.option("--output", "-o", type=OutputFile(), help="Write the LoadResult to this JSON file."),
    click.option(
        "--samples",
        "samples_file",
        type=OutputFile(),
        help="Write every request to this file: .parquet (needs pyarrow), .csv or .npz.",
    ),
)
"""Where the outcome goes."""

processes = _together(
    click.option(
        "--server-pid",
        type=click.IntRange(1),
        help="Process to read CPU and memory of, with its children (default: the local one that listens).",
    ),
    click.option(
        "--cpus",
        callback=_cores,
        help="Cores the load generator stays on, e.g. 0,1 (default: all usable ones).",
    ),
    click.option(
        "--workers",
        type=click.IntRange(0, 256),
        default=1,
        show_default=True,
        help="Processes that send; above 1 they are workers of a Locust master, and "
        "share the load among them.",
    ),
    click.option(
        "--expect-workers",
        type=click.IntRange(0, 256),
        default=0,
        help="Wait for so many more on other machines, where `dyno load-worker` starts them.",
    ),
    click.option(
        "--master-bind",
        metavar="HOST[:PORT]",
        help="With --expect-workers: where the master listens; whoever reaches it "
        "can join, so no open network.",
    ),
    click.option(
        "--connect-timeout",
        "connect_s",
        type=_Seconds(min=0, min_open=True),
        default=600.0,
        show_default=True,
        help="With --expect-workers: seconds to wait for them.",
    ),
)
"""Which processes: the one that is watched, and those that send."""

search = _together(
    click.option(
        "--find-rate",
        is_flag=True,
        help="Search the highest open-loop rate that meets each --limit, from --rate (default 10) on.",
    ),
    click.option(
        "--limit",
        "limit_texts",
        multiple=True,
        metavar="NAME=NUMBER",
        help="With --find-rate, --scenario Server: e.g. p99_ms=50; p50_ms to p99.9_ms, error_rate (0.01).",
    ),
    click.option(
        "--precision",
        type=click.FloatRange(0.005, 1),
        default=0.05,
        show_default=True,
        help="With --find-rate: how near the failing rate is to the one found, as a share of it.",
    ),
)
"""The search of a rate."""

said = _together(
    click.option(
        "--strict", is_flag=True, help="Exit 1 when the generator could not keep up: no valid test."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the LoadResult as JSON."),
)
"""What is said, and how."""
