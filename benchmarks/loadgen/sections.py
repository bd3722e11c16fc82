"""The sections of benchmarks.loadgen on truth: each gives rows, with verdicts where there is a goal."""

from __future__ import annotations

import statistics
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.loadgen.goals import chance_removed, covers, near_mean, near_p99
from benchmarks.loadgen.queue_server import services
from benchmarks.loadgen.queueing import Queue, times_in_system
from benchmarks.loadgen.queueing_samples import queue_samples
from benchmarks.ready import wait_for_port
from modeldyno.base.command.console import say
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.process.procs import python_module, start
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.generator.fleet import ALONE, Workers
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.spec.arrivals import arrivals
from modeldyno.loadgen.stats.intervals import quantile_rank

SERVICE_MS = 5.0
LOADS = (0.3, 0.5, 0.7, 0.8)
SHARES = (50.0, 90.0, 99.0)
WARMUP_S = 2.0
NS_PER_MS = 1_000_000
CHANCES = 300
Row = dict[str, Any]
Times = npt.NDArray[np.int64]


@contextmanager
def queue_server(*options: str) -> Iterator[str]:
    """Run the server of known service time on the last core, where there are several; give its URL."""
    cores = usable_cores()
    pinned = ("--cpu", str(max(cores))) if len(cores) > 1 else ()
    with tempfile.TemporaryDirectory(prefix="dyno-queue-") as name:
        port_file = Path(name) / "port"
        command = python_module("benchmarks.loadgen.queue_server", str(port_file), *pinned, *options)
        with start(command, log=port_file.with_suffix(".log")) as child:
            yield f"http://127.0.0.1:{wait_for_port(child, port_file)}/invocations"


def server_log(url: str) -> Times:
    """Of each request when it came, when its service was over, when its answer was sent; nanoseconds."""
    with urllib.request.urlopen(url.replace("/invocations", "/log"), timeout=10) as answer:  # noqa: S310 - ours
        return np.frombuffer(answer.read(), np.int64).reshape(-1, 3)


def load(
    url: str, duration_s: float, *, workers: Workers = ALONE, samples_file: Path | None = None, **fields: Any
) -> LoadResult:
    """Run one load test with a body of eight bytes; a lone process runs on other cores than the server."""
    spec = LoadSpec.model_validate({"url": url, "warmup_s": WARMUP_S, "duration_s": duration_s, **fields})
    body = Payload(b"12345678", "application/octet-stream")
    cpus = tuple(sorted(usable_cores()))[:-1] if workers.number == 1 else ()
    return run_load(spec, body, workers=replace(workers, cpus=cpus or None), samples_file=samples_file)


def queue_row(load_share: float, *, fixed: bool, seconds: float, seed: int) -> Row:
    """Measure one queue in an open loop, and work out what it should have been in two ways."""
    queue = Queue(load_share * 1000 / SERVICE_MS, SERVICE_MS / 1000, fixed)
    options = ("--service-ms", str(SERVICE_MS), "--seed", str(seed), *(("--fixed",) if fixed else ()))
    with queue_server(*options) as url, tempfile.TemporaryDirectory(prefix="dyno-queue-") as folder:
        samples_file = Path(folder) / "samples.npz"
        result = load(url, seconds, rate_rps=queue.rate, seed=seed, samples_file=samples_file)
        parts = split(samples_file, server_log(url))
    row = {
        "queue": "M/D/1" if fixed else "M/M/1",
        "load": load_share,
        "rate_rps": queue.rate,
        "samples": result.samples,
        "measured_ms": measured_ms(result),
        "same_arrivals_ms": statistics_ms(same_arrivals_ms(queue, seconds, seed)),
        "formula_ms": {"mean": 1000 * queue.mean_s}
        | {f"p{share:g}": 1000 * queue.quantile_s(share / 100) for share in SHARES},
        "chance_ms": chance_ms(queue, result.samples),
        "intervals_ms": {f"p{p.percentile:g}": (p.low_ms, p.high_ms) for p in result.percentiles},
        **parts,
        "loop_lag_ms": result.loop_lag and result.loop_lag.model_dump(exclude={"histogram"}),
        "generator_cores": result.workers[0].cpu_cores_mean,
        "awake_cores": result.workers[0].awake_cores_mean,
        "valid": result.valid,
        "invalid_reasons": result.invalid_reasons,
        "warnings": result.warnings,
    }
    return row | {"verdicts": queue_verdicts(row)}


def split(samples_file: Path, log: Times) -> Row:
    """What the generator and what the server add to each request of the window, request by request.

    Both sides have the requests in order; where two change places on their way, their sums stay as they are.
    """
    with np.load(samples_file, allow_pickle=False) as table:
        inside, latency_ms = table["in_window"], table["latency_us"] / 1000
        late_ms = table["lateness_us"][inside] / 1000
    came, over, sent = log[: len(inside)][inside[: len(log)]].T
    generator_ms = latency_ms[inside] - (sent - came) / NS_PER_MS
    return {
        "sent_late_ms": _mean_p50_p99(late_ms),
        "generator_adds_ms": _mean_p50_p99(generator_ms),
        "server_late_ms": _mean_p50_p99((sent - over) / NS_PER_MS),
    }


def _mean_p50_p99(values: npt.NDArray[np.float64]) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        **{f"p{share}": float(np.percentile(values, share)) for share in (50, 99)},
    }


def queue_verdicts(row: Row) -> list[Row]:
    """Hold a queue against the formula, as measured and with the chance of its sample taken out."""
    name = f"{row['queue']} at {row['load']:g}"
    found, same, truth = row["measured_ms"], row["same_arrivals_ms"], row["formula_ms"]
    chance = row["chance_ms"]
    verdicts = [
        near_mean(name, found["mean"], truth["mean"], chance["mean"]),
        near_p99(name, found["p99"], truth["p99"], chance["p99"]),
    ]
    fair = f"{name}, chance removed"
    verdicts.append(
        near_mean(fair, chance_removed(*(x["mean"] for x in (found, same, truth))), truth["mean"])
    )
    p99 = None if found["p99"] is None else chance_removed(found["p99"], same["p99"], truth["p99"])
    verdicts.append(near_p99(fair, p99, truth["p99"]))
    return [verdict.row() for verdict in verdicts]


def same_arrivals_ms(
    queue: Queue, seconds: float, seed: int, stall: tuple[float, float] | None = None
) -> list[float]:
    """Give the times in the system of the window's requests, from the generator's own schedule."""
    end_s = WARMUP_S + seconds
    due = list(takewhile(lambda moment: moment < end_s, arrivals("poisson", queue.rate, seed)))
    lasting = list(islice(services(queue.service_s, fixed=queue.fixed, seed=seed), len(due)))
    times = times_in_system(due, lasting, stall and (due[0] + stall[0], due[0] + stall[1]))
    return [1000 * spent for moment, spent in zip(due, times, strict=True) if moment >= WARMUP_S]


def chance_ms(queue: Queue, samples: int) -> dict[str, float]:
    """How far from the formula 95 of 100 samples of this length are at most, with no network: simulated."""
    spent = np.sort(queue_samples(queue, samples, CHANCES, np.random.default_rng(0)), axis=1)
    found = {"mean": (spent.mean(axis=1), queue.mean_s)} | {
        f"p{share:g}": (spent[:, quantile_rank(samples, share / 100) - 1], queue.quantile_s(share / 100))
        for share in SHARES
    }
    return {
        name: float(1000 * np.quantile(np.abs(values - truth), 0.95))
        for name, (values, truth) in found.items()
    }


def statistics_ms(times: list[float]) -> dict[str, float]:
    """Give mean and percentiles of plain numbers, ranked as the generator does it."""
    ordered = sorted(times)
    ranked = {f"p{share:g}": ordered[quantile_rank(len(ordered), share / 100) - 1] for share in SHARES}
    return {"mean": statistics.fmean(ordered), **ranked}


def measured_ms(result: LoadResult) -> dict[str, float | None]:
    """Give mean and percentiles of a load test."""
    return {"mean": result.mean_ms} | {f"p{share:g}": result.percentile_ms(share) for share in SHARES}


def md1_section(quick: bool) -> list[Row]:
    """M/D/1: every service lasts the same."""
    return _queues(quick, fixed=True)


def mm1_section(quick: bool) -> list[Row]:
    """M/M/1: services are exponential."""
    return _queues(quick, fixed=False)


def _queues(quick: bool, *, fixed: bool) -> list[Row]:
    """A queue at four loads, and a closed loop of one user on the same server beside each."""
    rows, seconds = [], 8.0 if quick else 18.0
    options = ("--service-ms", str(SERVICE_MS), *(("--fixed",) if fixed else ()))
    with queue_server(*options) as url:
        closed = measured_ms(load(url, 5.0, users=1))
    for number, share in enumerate(LOADS[1::2] if quick else LOADS):
        row = queue_row(share, fixed=fixed, seconds=seconds, seed=100 + number)
        off = {
            name: None if value is None else value / row["formula_ms"][name] - 1
            for name, value in closed.items()
        }
        rows.append(row | {"closed_loop_ms": closed, "closed_loop_off": off})
        say(f"{row['queue']} at {share}: {row['measured_ms']}")
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
    seen = measured_ms(opened)
    verdicts = [
        near_p99("a stall of 1 s, open loop", seen["p99"], truth["p99"]),
        near_mean("a stall of 1 s, open loop", seen["mean"] or 0.0, truth["mean"]),
    ]
    return [
        {
            "samples": opened.samples,
            "open_loop_ms": seen,
            "same_arrivals_ms": truth,
            "closed_loop_ms": measured_ms(closed),
            "closed_loop_samples": closed.samples,
            "valid": opened.valid,
            "verdicts": [verdict.row() for verdict in verdicts],
        }
    ]


def coverage_section(quick: bool) -> list[Row]:
    """Repeat one queue with other seeds; count the intervals that hold the formula's value."""
    repeats, seconds = (3, 8.0) if quick else (10, 12.0)
    rows = [queue_row(0.5, fixed=False, seconds=seconds, seed=200 + number) for number in range(repeats)]
    return [_covered(f"p{share:g}", rows) for share in SHARES]


def _covered(name: str, rows: list[Row]) -> Row:
    covered = sum(_holds(row["intervals_ms"][name], row["formula_ms"][name]) for row in rows)
    return {
        "percentile": name,
        "repeats": len(rows),
        "covered": covered,
        "open_above": sum(row["intervals_ms"][name][1] is None for row in rows),
        "valid": sum(row["valid"] for row in rows),
        "verdicts": [covers(name, covered, len(rows)).row()],
    }


def _holds(interval: tuple[float | None, float | None], value: float) -> bool:
    low, high = interval
    return (low is None or low <= value) and (high is None or value <= high)
