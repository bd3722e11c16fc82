"""The options of `dyno load`, in the order of its help. Those that a job chooses too come as groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from modeldyno.base.settings import Setting
from modeldyno.loadgen.spec.answer_options import Answers
from modeldyno.loadgen.spec.bounds import MAX_RATE, MAX_REQUESTS, MAX_SECONDS, MAX_TIMEOUT_S, MAX_USERS
from modeldyno.loadgen.spec.process_options import Processes


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is loaded, by whom."""

    url: Annotated[str, Setting("A running endpoint.", argument=True)]
    users: Annotated[
        int | None,
        Setting("Closed loop: users who wait for each answer.", absent="1", least=1, most=MAX_USERS),
    ] = None
    phases: Annotated[
        str | None,
        Setting(
            "Closed loop: each phase begins with USERS, and PER_MINUTE join them; e.g. 1:2:120,4:0:60.",
            metavar="USERS:PER_MINUTE:SECONDS[,...]",
        ),
    ] = None
    stairs: Annotated[
        str | None,
        Setting(
            "Closed loop: as many more users at each step, which lasts so many seconds.",
            metavar="steps=N,users=N,seconds=S",
        ),
    ] = None
    load_shape: Annotated[
        str | None,
        Setting(
            "Closed loop: users as a LoadTestShape of your own says, until its tick() returns None.",
            metavar="FILE.py:CLASS",
        ),
    ] = None
    rate_rps: Annotated[
        float | None,
        Setting(
            "Open loop: arrivals a second, whether or not answers come.",
            above=0,
            most=MAX_RATE,
            flag="--rate",
        ),
    ] = None
    trace: Annotated[
        Path | None,
        Setting(
            "Open loop: replay recorded arrival times (seconds or ISO 8601, one a line), at their own rate "
            "or at `rate_rps`."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """How the requests come; a job chooses it too."""

    scenario: Annotated[
        Literal["SingleStream", "MultiStream", "Server", "Offline"] | None,
        Setting(
            "An MLPerf scenario and its rules, over 600 s unless `duration_s` says less; Server: with "
            "`rate_rps` and a limit on p99_ms."
        ),
    ] = None
    arrival: Annotated[
        Literal["poisson", "constant", "gamma"],
        Setting("Open loop: random, even, or bursty gaps between arrivals."),
    ] = "poisson"
    burstiness: Annotated[
        float,
        Setting(
            "With `arrival=gamma`: squared coefficient of variation of the gaps; 1 is Poisson, more are "
            "bursts.",
            above=0,
            most=10_000,
        ),
    ] = 4.0
    max_in_flight: Annotated[
        int | None,
        Setting(
            "Open loop: the most requests in flight; a test that meets it is void.",
            absent="what memory and open files allow, at most 10,000",
            least=1,
            most=60_000,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a test lasts."""

    warmup_s: Annotated[
        float, Setting("Seconds not counted.", least=0, most=MAX_SECONDS, flag="--warmup")
    ] = 2.0
    duration_s: Annotated[
        float,
        Setting(
            "Seconds measured, after the warm-up; of a `load_shape`, the most (default: an hour).",
            above=0,
            most=MAX_SECONDS,
            flag="--duration",
        ),
    ] = 10.0
    min_samples: Annotated[
        int,
        Setting(
            "Measure on until so many requests have succeeded; 368 are enough for p99.",
            least=0,
            most=MAX_REQUESTS,
        ),
    ] = 0
    max_duration_s: Annotated[
        float,
        Setting(
            "The longest window for `min_samples`, in seconds.",
            above=0,
            most=MAX_SECONDS,
            flag="--max-duration",
        ),
    ] = 120.0
    timeout_s: Annotated[
        float,
        Setting(
            "Seconds after which a request counts as failed.", above=0, most=MAX_TIMEOUT_S, flag="--timeout"
        ),
    ] = 30.0


@dataclass(frozen=True, kw_only=True)
class Ends:
    """What ends a test before its time; a job chooses it too."""

    stop_when: Annotated[
        tuple[str, ...],
        Setting(
            "End the test before its time: p99>50ms, errors>1%, requests>=10000, p99_width<5%, flat.",
            metavar="RULE[,...]",
        ),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """How the bodies of `payload` are read; a job chooses it too."""

    rows: Annotated[
        bool,
        Setting("Each row (first axis) of the .npy and .npz files of `payload` is a request of its own."),
    ] = False
    content_type: Annotated[
        str | None, Setting("Content type of `payload`.", absent="by the file's ending")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What is sent."""

    payload: Annotated[
        str | None,
        Setting(
            "Request bodies: files, or folders of them.",
            absent="random tensors for the server's inputs",
            metavar="PATH[=WEIGHT,...]",
        ),
    ] = None
    shapes: Annotated[
        tuple[str, ...],
        Setting(
            "Shape of the random input, where the model takes several.",
            absent="the smallest",
            flag="--shape",
            metavar="NAME=8,3,224,224",
        ),
    ] = ()
    seed: Annotated[int, Setting("Seed of the random tensors and of the Poisson arrivals.")] = 0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Where the outcome goes, and how it is said."""

    output: Annotated[
        Path | None,
        Setting(
            "Write the LoadResult to this JSON file; - for stdout, without the table.",
            short="-o",
            path="file",
        ),
    ] = None
    samples: Annotated[
        Path | None,
        Setting("Write every request to this file: .parquet (needs pyarrow), .csv or .npz.", path="file"),
    ] = None
    strict: Annotated[bool, Setting("Exit 3 when the generator could not keep up: no valid test.")] = False
    as_json: Annotated[bool, Setting("Print the LoadResult as JSON.", flag="--json")] = False


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search of a rate."""

    find_rate: Annotated[
        bool,
        Setting(
            "Search the highest open-loop rate that meets each of `limits`, from `rate_rps` (default 10) on."
        ),
    ] = False
    limits: Annotated[
        tuple[str, ...],
        Setting(
            "Judge this test, or what `find_rate` tries: e.g. p99_ms=50; p50_ms to p99.9_ms, error_rate "
            "(0.01), of one test throughput_rps.",
            flag="--limit",
            metavar="NAME=NUMBER",
        ),
    ] = ()
    precision: Annotated[
        float,
        Setting(
            "With `find_rate`: how near the failing rate is to the one found, as a share of it.",
            least=0.005,
            most=1,
        ),
    ] = 0.05


@dataclass(frozen=True, kw_only=True)
class LoadOptions(Kept, Search, Processes, Answers, Bodies, Sent, Ends, Length, Arrivals, Target):
    """The options of `dyno load`; the help has the groups in the opposite order."""
