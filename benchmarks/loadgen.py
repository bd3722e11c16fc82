"""The load generator against the truth: python -m benchmarks.loadgen [--sections ...] [--quick] [--json F].

`queue`      Poisson arrivals at a server with one place and a known service time, M/D/1 and M/M/1: measured
             mean, p50, p90 and p99 beside the very same arrivals computed without a network (Lindley's
             recursion: the difference is the generator's and the server's own) and beside the formula (the
             difference between the two truths is chance: that run's sample). A closed loop of one user on
             the same server is beside it.
`stall`      The server stands still for a second. An open loop sees it in p99 as theory says, a closed loop
             does not.
`coverage`   How many of the runs' 95 % intervals hold the formula's p50, p90 and p99.
`capacity`   The highest rate at which the generator keeps its schedule, one process, one core.
`added`      What the generator adds to a request, one connection: its p50 beside wrk's, in turns (needs wrk).

Nothing else should run meanwhile: a busy core shows as lateness, which is told beside each row.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from benchmarks.queue_server import services
from benchmarks.queueing import Queue, times_in_system
from benchmarks.ready import wait_for_port
from dyno.console import print_table, say
from dyno.files import write_text
from dyno.host import host_facts
from dyno.procs import python_module, start
from dyno.records import LoadResult, LoadSpec
from loadgen.arrivals import arrivals
from loadgen.intervals import quantile_rank
from loadgen.payload import Payload
from loadgen.run import run_load

SERVICE_MS = 5.0
LOADS = (0.3, 0.5, 0.7, 0.8)
SHARES = (50.0, 90.0, 99.0)
WARMUP_S = 2.0
Row = dict[str, Any]


@contextmanager
def queue_server(*options: str) -> Iterator[str]:
    """Run the server of known service time; give its URL."""
    with tempfile.TemporaryDirectory(prefix="dyno-queue-") as name:
        port_file = Path(name) / "port"
        command = python_module("benchmarks.queue_server", str(port_file), *options)
        with start(command, log=port_file.with_suffix(".log")) as child:
            yield f"http://127.0.0.1:{wait_for_port(child, port_file)}/invocations"


def load(url: str, duration_s: float, **fields: Any) -> LoadResult:
    """Run one load test with a body of eight bytes."""
    spec = LoadSpec.model_validate({"url": url, "warmup_s": WARMUP_S, "duration_s": duration_s, **fields})
    return run_load(spec, Payload(b"12345678", "application/octet-stream"))


def queue_row(load_share: float, *, fixed: bool, seconds: float, seed: int) -> Row:
    """Measure one queue in an open loop, and work out what it should have been in two ways."""
    queue = Queue(load_share * 1000 / SERVICE_MS, SERVICE_MS / 1000, fixed)
    options = ("--service-ms", str(SERVICE_MS), "--seed", str(seed), *(("--fixed",) if fixed else ()))
    with queue_server(*options) as url:
        result = load(url, seconds, rate_rps=queue.rate, seed=seed)
    same = same_arrivals_ms(queue, seconds, seed)
    return {
        "queue": "M/D/1" if fixed else "M/M/1",
        "load": load_share,
        "rate_rps": queue.rate,
        "samples": result.samples,
        "measured_ms": measured_ms(result),
        "same_arrivals_ms": statistics_ms(same),
        "formula_ms": {"mean": 1000 * queue.mean_s}
        | {f"p{share:g}": 1000 * queue.quantile_s(share / 100) for share in SHARES},
        "intervals_ms": {f"p{p.percentile:g}": (p.low_ms, p.high_ms) for p in result.percentiles},
        "lateness_p99_ms": result.lateness_p99_ms,
        "warnings": result.warnings,
    }


def same_arrivals_ms(
    queue: Queue, seconds: float, seed: int, stall: tuple[float, float] | None = None
) -> list[float]:
    """Give the times in the system of the window's requests, from the generator's own schedule."""
    end_s = WARMUP_S + seconds
    due = list(takewhile(lambda moment: moment < end_s, arrivals("poisson", queue.rate, seed)))
    lasting = list(islice(services(queue.service_s, fixed=queue.fixed, seed=seed), len(due)))
    times = times_in_system(due, lasting, stall and (due[0] + stall[0], due[0] + stall[1]))
    return [1000 * spent for moment, spent in zip(due, times, strict=True) if moment >= WARMUP_S]


def statistics_ms(times: list[float]) -> dict[str, float]:
    """Give mean and percentiles of plain numbers, ranked as the generator does it."""
    ordered = sorted(times)
    ranked = {f"p{share:g}": ordered[quantile_rank(len(ordered), share / 100) - 1] for share in SHARES}
    return {"mean": statistics.fmean(ordered), **ranked}


def measured_ms(result: LoadResult) -> dict[str, float | None]:
    """Give mean and percentiles of a load test."""
    return {"mean": result.mean_ms} | {f"p{share:g}": result.percentile_ms(share) for share in SHARES}


def queue_section(quick: bool) -> list[Row]:
    """M/D/1 and M/M/1 at four loads, and the closed loop beside each."""
    rows, seconds = [], 8.0 if quick else 60.0
    for fixed in (True, False):
        for number, share in enumerate(LOADS[1::2] if quick else LOADS):
            rows.append(queue_row(share, fixed=fixed, seconds=seconds, seed=100 + number))
            say(f"{rows[-1]['queue']} at {share}: {rows[-1]['measured_ms']}")
        options = ("--service-ms", str(SERVICE_MS), *(("--fixed",) if fixed else ()))
        with queue_server(*options) as url:
            closed = load(url, min(seconds, 15.0), users=1)
        for row in rows:
            row.setdefault("closed_loop_ms", measured_ms(closed))
    return rows


def stall_section(quick: bool) -> list[Row]:
    """A second of standing still, seen by an open and by a closed loop."""
    seconds, queue = (8.0 if quick else 20.0), Queue(100.0, 0.002, fixed=True)
    at = (WARMUP_S + 2, WARMUP_S + 3)
    options = ("--service-ms", "2", "--fixed", "--stall-at-s", str(at[0]), "--stall-s", "1")
    with queue_server(*options) as url:
        opened = load(url, seconds, rate_rps=queue.rate, seed=1)
    with queue_server(*options) as url:
        closed = load(url, seconds, users=1)
    truth = statistics_ms(same_arrivals_ms(queue, seconds, 1, at))
    return [
        {
            "samples": opened.samples,
            "open_loop_ms": measured_ms(opened),
            "same_arrivals_ms": truth,
            "closed_loop_ms": measured_ms(closed),
            "closed_loop_samples": closed.samples,
        }
    ]


def coverage_section(quick: bool) -> list[Row]:
    """Repeat one queue with other seeds; count the intervals that hold the formula's value."""
    repeats, seconds = (3, 8.0) if quick else (10, 20.0)
    rows = [queue_row(0.5, fixed=False, seconds=seconds, seed=200 + number) for number in range(repeats)]
    return [
        {
            "percentile": name,
            "repeats": repeats,
            "covered": sum(_holds(row["intervals_ms"][name], row["formula_ms"][name]) for row in rows),
        }
        for name in (f"p{share:g}" for share in SHARES)
    ]


def capacity_section(quick: bool) -> list[Row]:
    """Raise the rate until the generator falls behind its own schedule."""
    rows: list[Row] = []
    for rate in (500, 1000, 2000, 3000, 4000, 6000, 8000):
        with queue_server("--service-ms", "0", "--fixed") as url:
            result = load(url, 3.0 if quick else 8.0, rate_rps=float(rate), arrival="constant")
        rows.append(
            {
                "rate_rps": rate,
                "throughput_rps": result.throughput_rps.value,
                "valid": result.valid,
                "lateness_p99_ms": result.lateness_p99_ms,
                "generator_cores": result.generator.cpu_cores_mean,
            }
        )
        if not result.valid:
            break
    return rows


def added_section(quick: bool) -> list[Row]:
    """One connection, a server that answers at once: our p50 beside wrk's, in turns."""
    if shutil.which("wrk") is None:
        say("added: left out, wrk is not on PATH")
        return []
    ours, wrks = [], []
    with queue_server("--service-ms", "0", "--fixed") as url:
        for _ in range(3 if quick else 7):
            ours.append(1000 * (load(url, 2.0, users=1).percentile_ms(50.0) or 0.0))
            wrks.append(_wrk_p50_us(url))
    differences = [mine - other for mine, other in zip(ours, wrks, strict=True)]
    return [
        {
            "rounds": len(ours),
            "p50_us": statistics.median(ours),
            "wrk_p50_us": statistics.median(wrks),
            "added_us": statistics.median(differences),
            "added_us_range": (min(differences), max(differences)),
        }
    ]


def _wrk_p50_us(url: str) -> float:
    command = ["wrk", "-t1", "-c1", "-d2s", "--latency", "-s", "/dev/stdin", url]
    script = 'wrk.method = "POST"\nwrk.body = "12345678"\n'
    text = subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout
    found = re.search(r"50%\s+([\d.]+)(us|ms)", text)
    if found is None:
        raise SystemExit(f"wrk said nothing of its median:\n{text}")
    return float(found[1]) * (1000 if found[2] == "ms" else 1)


def _holds(interval: tuple[float | None, float | None], value: float) -> bool:
    low, high = interval
    return low is not None and low <= value and (high is None or value <= high)


SECTIONS: dict[str, Callable[[bool], list[Row]]] = {
    "queue": queue_section,
    "stall": stall_section,
    "coverage": coverage_section,
    "capacity": capacity_section,
    "added": added_section,
}


def main(arguments: list[str] | None = None) -> None:
    """Run the sections that are asked for; the JSON file is written anew after each."""
    parser = argparse.ArgumentParser(prog="benchmarks.loadgen", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it works, not to quote")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args(arguments)
    names = [name.strip() for name in args.sections.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"unknown section {unknown[0]!r}; there are: {', '.join(SECTIONS)}")
    document: Row = {"host": host_facts().model_dump(), "quick": args.quick}
    for name in names:
        say(f"{name} ...")
        document[name] = SECTIONS[name](args.quick)
        if args.json:
            write_text(args.json, json.dumps(document, indent=2) + "\n")
        _print(name, document[name])


def _print(name: str, rows: list[Row]) -> None:
    print(f"\n{name}")
    flat = [_flat_queue(row) if name == "queue" else row for row in rows]
    if flat:
        columns = [key for key in flat[0] if key != "warnings"]
        print_table(columns, [[_shown(row[key]) for key in columns] for row in flat], right=columns[1:])


def _flat_queue(row: Row) -> Row:
    """Give each figure as measured, same arrivals, formula."""
    figures = {
        name: f"{row['measured_ms'][name]:.2f} / {row['same_arrivals_ms'][name]:.2f} / {value:.2f}"
        for name, value in row["formula_ms"].items()
        if row["measured_ms"][name] is not None
    }
    kept = {key: row[key] for key in ("queue", "load", "rate_rps", "samples", "lateness_p99_ms")}
    return {**kept, **figures, "closed p99": row["closed_loop_ms"]["p99"]}


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    return str(value)


if __name__ == "__main__":
    main(sys.argv[1:])
