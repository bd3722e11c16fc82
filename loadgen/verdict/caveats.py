"""What taints the numbers of a load test, in words; pure."""

from __future__ import annotations

from collections.abc import Iterator

from modeldyno.base.records.load import LoadResult, Percentile, Stop
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.stats.intervals import CORRELATION_99, fewest_samples
from modeldyno.loadgen.stats.recording import Recording
from modeldyno.loadgen.stats.summary import Summary
from modeldyno.loadgen.watch.circumstances import Circumstances

MOST_GENERATOR_CORES = 0.8
MOST_STOLEN = 0.01
MOST_LAG_MS = 5.0
MOST_LAG_SHARE = 0.1
LEAST_OF_RATE = 0.95
FEWEST_ARRIVALS = 50
FEWEST_FOR_STEADY = 1000
MOST_SHIFT = 0.5
MOST_TIMES = 50.0
"""Nobody measures longer than that."""


def caveats(spec: LoadSpec, recording: Recording, summary: Summary, around: Circumstances) -> tuple[str, ...]:
    """Everything that a reader of the numbers must know."""
    return (
        *_of_the_loop(spec),
        *_of_the_samples(recording, summary),
        *(() if spec.staged else _of_the_drift(spec, summary)),
        *_of_the_schedule(spec, recording, summary),
        *_of_the_machine(around),
    )


def stop_caveats(stop: Stop) -> Iterator[str]:
    """What a rule that looks at the numbers does to them."""
    if stop.looks and not stop.rule.startswith("requests"):
        yield (
            f"{stop.rule} ended the test at look {stop.looks}: intervals hold the truth less often than they "
            "say when a test ends because of what it saw"
        )


def _of_the_loop(spec: LoadSpec) -> Iterator[str]:
    if spec.staged:
        yield "the number of users changed: the whole test's numbers mix its stages; judge each by its own"
    if spec.rate_rps is None:
        yield (
            "latency under a closed loop hides queueing: users wait when the server is slow; "
            "use an open loop, at a rate, for the latency at a given traffic"
        )


def _of_the_samples(recording: Recording, summary: Summary) -> Iterator[str]:
    yield from sample_caveats(summary)
    if recording.lost:
        yield f"{recording.lost} requests got lost in an overwhelmed generator and count nowhere"


def sample_caveats(found: Summary | LoadResult) -> Iterator[str]:
    """What the number of requests leaves open, and those that failed."""
    missing = [entry for entry in found.percentiles if entry.ms is None and entry.percentile < 99.5]
    if missing:
        needs = ", ".join(_need(entry) for entry in missing)
        yield f"few samples: {found.samples} do not state {needs}; measure longer"
    yield from _of_the_dependence(found)
    if found.errors:
        yield (
            f"{found.errors} of {found.samples + found.errors} requests failed; "
            "percentiles are those of the successful ones only"
        )


def _of_the_dependence(summary: Summary | LoadResult) -> Iterator[str]:
    """Percentiles that are stated, but not bounded from above: in one sentence, the least demanding first."""
    is_open = [
        (f"p{entry.percentile:g}", fewest_samples(entry.percentile / 100), entry.effective_samples or 1)
        for entry in summary.percentiles
        if entry.ms is not None and entry.high_ms is None and entry.percentile < 99.5
    ]
    if not is_open:
        return
    names = " and ".join(name for name, _, _ in is_open)
    needs = ", ".join(
        f"{name} needs {needed}, so {_longer(max(1.1, needed / worth))}" for name, needed, worth in is_open
    )
    yield (
        f"{names} {'has' if len(is_open) == 1 else 'have'} no upper bound: requests that share a queue "
        f"depend on each other, and these {summary.samples} are worth "
        f"{min(worth for _, _, worth in is_open)} independent ones: {needs}"
    )


def _longer(times: float) -> str:
    if times > MOST_TIMES:
        return "send less: no test would be long enough"
    return f"measure {times:.2g} times as long"


def _of_the_drift(spec: LoadSpec, summary: Summary) -> Iterator[str]:
    if summary.correlation > CORRELATION_99:
        yield (
            f"throughput drifted (correlation of neighbouring slices {summary.correlation:.2f}): "
            "its interval is too narrow; measure longer"
        )
    before_ms, after_ms = summary.mean_before_steady_ms, summary.mean_steady_ms
    if before_ms is None or after_ms is None or summary.samples < FEWEST_FOR_STEADY:
        return
    # A busy queue has such stretches by chance: only what moves the mean is worth a word.
    if abs(before_ms - after_ms) <= MOST_SHIFT * after_ms:
        return
    if summary.steady_from_s is None:
        yield (
            f"latency never settled (MSER-5; mean {before_ms:.3g} ms in the first half of the window, "
            f"{after_ms:.3g} ms in the second): it depends on how long the test ran"
        )
    elif summary.steady_from_s > spec.warmup_s:
        yield (
            f"latency settled {summary.steady_from_s:.3g} s after the start, the warm-up was "
            f"{spec.warmup_s:g} s (MSER-5; mean {before_ms:.3g} ms before, {after_ms:.3g} ms after): "
            "give it a longer warm-up"
        )


def _need(entry: Percentile) -> str:
    return f"p{entry.percentile:g} (needs {fewest_samples(entry.percentile / 100)})"


def _of_the_schedule(spec: LoadSpec, recording: Recording, summary: Summary) -> Iterator[str]:
    if spec.rate_rps is None:
        return
    answered = summary.completed + summary.errors
    if recording.arrivals >= FEWEST_ARRIVALS and answered < LEAST_OF_RATE * recording.arrivals:
        yield (
            f"answers did not keep up: {recording.arrivals} requests were due in the window, {answered} were "
            "answered; a queue grew, so latency depends on how long the test ran"
        )
    if recording.held_back:
        yield (
            f"all {recording.users} connections were busy for {recording.held_back} of {recording.arrivals} "
            "requests, which waited in the generator; the wait is part of their latency"
        )
    yield from _of_the_lag(summary)


def _of_the_lag(summary: Summary) -> Iterator[str]:
    lag_ms, p50_ms = summary.lateness_p99_ms, summary.p50_ms
    if lag_ms is None:
        return
    if lag_ms > MOST_LAG_MS or (p50_ms is not None and lag_ms > MOST_LAG_SHARE * p50_ms):
        beside = f" beside a median latency of {p50_ms:.3g} ms" if p50_ms is not None else ""
        yield (
            f"the generator sent late: 99th percentile {lag_ms:.3g} ms{beside}; "
            "that delay is part of the latency; give it a core of its own"
        )


def _of_the_machine(around: Circumstances) -> Iterator[str]:
    if around.shared_cores:
        yield (
            f"server and load generator share {around.shared_cores} of {around.logical_cores} cores: "
            "they take time from each other; pin them to cores of their own (cpus)"
        )
    if around.server_unseen:
        yield "the server's process was not found, its CPU and memory are unknown; name it (server_pid)"
    usage = around.usage
    if usage is None:
        yield "CPU and memory could not be read over the window"
        return
    generator = usage.groups.get("generator")
    can_use = max(1, around.workers)
    if generator is not None and generator.cpu_cores_mean > MOST_GENERATOR_CORES * can_use:
        cores = "one core" if can_use == 1 else f"{can_use} cores"
        yield (
            f"the load generator used {generator.cpu_cores_mean:.2f} of the {cores} it can use: "
            "it, not the server, may set these numbers"
        )
    if usage.other_cores > max(0.2, 0.1 * around.logical_cores):
        yield f"the host was busy with other work: {usage.other_cores:.1f} of {around.logical_cores} cores"
    if usage.stolen_share > MOST_STOLEN:
        yield f"the hypervisor took {usage.stolen_share:.1%} of the CPU time for other machines (steal)"
