"""The sections of benchmarks.loadgen on the generator itself: how much it can send, and what it adds."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.loadgen.goals import adds_little
from benchmarks.loadgen.sections import Row, load, queue_server
from modeldyno.base.command.console import say
from modeldyno.base.errors import LoadTestError
from modeldyno.base.host.facts import usable_cores
from modeldyno.loadgen.generator.fleet import Workers

KEPT_UP = 0.98
FIRST_RPS, FINEST = 4000.0, 1.1
LEAST = 5


def capacity_section(quick: bool) -> list[Row]:
    """Find for one worker, two, four, ... the highest rate at which each still keeps its schedule."""
    rows: list[Row] = []
    cores = len(usable_cores())
    for workers in [count for count in (1, 2, 4, 8, 16) if count <= max(2, cores)]:
        tried: list[Row] = []

        def honest(rate: float, workers: int = workers, tried: list[Row] = tried) -> bool:
            tried.append(capacity_step(rate, workers, 2.0 if quick else 3.0))
            say(f"{workers} workers at {rate:.0f}/s: {'kept' if tried[-1]['kept'] else tried[-1]['why']}")
            return bool(tried[-1]["kept"])

        best = highest(honest, FIRST_RPS * workers)
        there: Row = next((step for step in tried if step["rate_rps"] == best), {})
        rows.append(
            {
                "workers": workers,
                "rate_rps": best,
                "per_worker_rps": best / workers,
                "times_one_worker": best / rows[0]["rate_rps"] if rows and rows[0]["rate_rps"] else 1.0,
                "lateness_p99_ms": there.get("lateness_p99_ms"),
                "busiest_worker_cores": there.get("busiest_worker_cores"),
                "server_cores": there.get("server_cores"),
                # One for each worker and one for the server: fewer, and they take time from each other.
                "cores_short": max(0, workers + 1 - cores),
                "steps": tried,
            }
        )
    return rows


def highest(honest: Callable[[float], bool], first: float) -> float:
    """Double a rate until it is too high, then halve the gap until it is a tenth; 0 when none is honest.

    A first rate that is too high is halved, LEAST times at most.
    """
    low, high = 0.0, first
    while honest(high):
        low, high = high, 2 * high
    while not low:
        if high <= first / 2**LEAST:
            return 0.0
        low, high = (high / 2, high) if honest(high / 2) else (0.0, high / 2)
    while high / low > FINEST:
        middle = (low + high) / 2
        low, high = (middle, high) if honest(middle) else (low, middle)
    return low


def capacity_step(rate: float, workers: int, seconds: float) -> Row:
    """Send evenly at one rate to a server that answers at once."""
    with queue_server("--service-ms", "0", "--fixed") as url:
        try:
            result = load(
                url, seconds, workers=Workers(workers), rate_rps=rate, arrival="constant", warmup_s=1.0
            )
        except LoadTestError as error:
            return {"rate_rps": rate, "kept": False, "why": str(error).splitlines()[0]}
    answered = result.throughput_rps.value >= KEPT_UP * rate
    why = "; ".join((*result.invalid_reasons, *(() if answered else ("answers did not keep up",))))
    return {
        "rate_rps": rate,
        "kept": result.valid and answered,
        "why": why,
        "throughput_rps": result.throughput_rps.value,
        "lateness_p99_ms": result.lateness_p99_ms,
        "busiest_worker_cores": max((one.cpu_cores_mean or 0.0 for one in result.workers), default=0.0),
        "server_cores": result.server.cpu_cores_mean if result.server else None,
    }


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
    added_us = statistics.median(differences)
    return [
        {
            "rounds": len(ours),
            "p50_us": statistics.median(ours),
            "wrk_p50_us": statistics.median(wrks),
            "added_us": added_us,
            "added_us_range": (min(differences), max(differences)),
            "verdicts": [adds_little(added_us, min(differences), max(differences)).row()],
        }
    ]


def _wrk_p50_us(url: str) -> float:
    with tempfile.TemporaryDirectory(prefix="dyno-wrk-") as folder:
        # A file: wrk reads its script once for itself and once for each thread.
        script = Path(folder) / "post.lua"
        script.write_text('wrk.method = "POST"\nwrk.body = "12345678"\n')
        command = ["wrk", "-t1", "-c1", "-d2s", "--latency", "-s", str(script), url]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"50%\s+([\d.]+)(us|ms)", text)
    if found is None:
        raise SystemExit(f"wrk said nothing of its median:\n{text}")
    return float(found[1]) * (1000 if found[2] == "ms" else 1)
