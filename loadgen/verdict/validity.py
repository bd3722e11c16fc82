"""When a load test is no measurement of the server: its generator was the bottleneck; pure.

A warning taints numbers; these reasons void them. Each process of the generator is judged by itself, with its
own clock. Bounds: 99th percentile of the sender's lateness, and of the event loop's lag, at most 5 ms or a
tenth of the median latency, whichever is more; at most 95 % of its one core busy, not counting
the time that it kept awake for an arrival that was near; no request of the schedule
without an end; none that had to wait for one of the generator's connections, or got none from this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.usage import WorkerUsage
from modeldyno.loadgen.stats.outcomes import NO_SOCKET
from modeldyno.loadgen.stats.summary import Summary
from modeldyno.loadgen.verdict.caveats import MOST_LAG_MS, MOST_LAG_SHARE

MOST_CORES = 0.95


def invalid_reasons(
    spec: LoadSpec, summary: Summary, lost: int, workers: Sequence[WorkerUsage]
) -> tuple[str, ...]:
    """Say why the load was not the one that was asked for; empty when it was."""
    bound_ms = max(MOST_LAG_MS, MOST_LAG_SHARE * (summary.p50_ms or 0.0))
    return (
        *(_of_lateness(spec, summary, bound_ms) if len(workers) < 2 else ()),
        *_of_the_lost(lost),
        *_of_the_bound(spec, summary),
        *_of_the_sockets(summary),
        *(reason for worker in workers for reason in _of_one(worker, len(workers), bound_ms)),
    )


def _of_lateness(spec: LoadSpec, summary: Summary, bound_ms: float) -> Iterator[str]:
    if spec.rate_rps is not None and (summary.lateness_p99_ms or 0.0) > bound_ms:
        yield (
            f"requests were sent late: 99th percentile {summary.lateness_p99_ms:.3g} ms, "
            f"bound {bound_ms:.3g} ms; lower the rate, or give the generator a core of its own"
        )


def _of_the_lost(lost: int) -> Iterator[str]:
    if lost:
        yield f"{lost} requests of the window never came to an end in the generator"


def _of_the_bound(spec: LoadSpec, summary: Summary) -> Iterator[str]:
    if summary.held_back:
        bound = "" if spec.max_in_flight is None else f" ({spec.max_in_flight})"
        yield (
            f"the bound on requests in flight{bound} was met: {summary.held_back} requests waited in the "
            "generator for a connection; raise max_in_flight, or lower the rate"
        )


def _of_the_sockets(summary: Summary) -> Iterator[str]:
    without = sum(one.count for one in summary.outcomes if one.outcome == NO_SOCKET)
    if without:
        yield (
            f"the generator's machine had no socket for {without} requests: raise its limit of open files "
            "(ulimit -n) or its range of local ports, or share the load among machines"
        )


def _of_one(worker: WorkerUsage, workers: int, bound_ms: float) -> Iterator[str]:
    who = "the generator" if workers == 1 else f"worker {worker.worker} of {workers}"
    if workers > 1 and worker.lateness is not None and worker.lateness.p99_ms > bound_ms:
        yield (
            f"{who} sent late: 99th percentile {worker.lateness.p99_ms:.3g} ms, bound {bound_ms:.3g} ms; "
            "lower the rate, or give it a core of its own"
        )
    if worker.loop_lag is not None and worker.loop_lag.p99_ms > bound_ms:
        yield (
            f"the event loop of {who} was late: 99th percentile {worker.loop_lag.p99_ms:.3g} ms, bound "
            f"{bound_ms:.3g} ms; it read answers late, too: give it a core of its own, or send less"
        )
    work = (worker.cpu_cores_mean or 0.0) - (worker.awake_cores_mean or 0.0)
    if work > MOST_CORES:
        yield (
            f"{who} kept {work:.2f} of its one core busy, bound {MOST_CORES:g}: "
            "it set the rate, not the server; share the load among workers"
        )
