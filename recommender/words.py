"""How a run's plan, steps and results are worded on the console."""

from __future__ import annotations

from collections.abc import Iterator

from dyno.records import Candidate, LoadResult, Row, Trial
from dyno.units import short_duration
from loadgen.shapes import closed_loop
from recommender.compiled import not_wholly_compiled
from recommender.events import CompileEnded, RunPlanned, TrialLoaded
from recommender.job import Load
from recommender.trial import level_name
from reports.digits import shown


def candidate(found: Candidate | Row) -> str:
    """Name a candidate: `c7a.large compiled 2x1` (threads x workers)."""
    return f"{found.instance_type} {found.backend} {found.settings.threads}x{found.settings.workers}"


def plan(event: RunPlanned) -> Iterator[str]:
    """Say what will be done, before anything is started."""
    names = ", ".join(candidate(each.candidate) for each in event.to_measure)
    yield f"to measure: {len(event.to_measure)}" + (f" (threads x workers): {names}" if names else "")
    yield f"load: {load(event.load)}"
    if event.kept:
        failed = sum(trial.failure is not None for trial in event.kept)
        again = f", of them {failed} failed (--retry-failed tries those again)" if failed else ""
        yield f"kept from before: {len(event.kept)}{again}"
    for planned, refusal in event.refused:
        yield f"cannot run here: {candidate(planned.candidate)}: {refusal}"
    yield from event.notes
    if event.to_measure:
        yield f"this takes at least {short_duration(event.seconds)}, compilation not counted"


def load(found: Load) -> str:
    """Word the load levels: `1, 2, 4 users (closed loop), each 2 s warm-up + 10 s`."""
    if staged := found.staged:
        return f"{closed_loop(staged)} (closed loop) after {found.warmup_s:g} s of warm-up"
    if found.rate_rps is not None:
        rates = ", ".join(f"{rate:g}" for rate in found.rate_rps)
        kind = f"{rates} requests/s (open loop, {found.arrival} arrivals)"
    else:
        kind = f"{', '.join(str(level['users']) for level in found.levels())} users (closed loop)"
    longest = ""
    if found.min_samples and found.longest_s > found.duration_s:
        longest = f", up to {found.longest_s:g} s for {found.min_samples} samples"
    return f"{kind}, each {found.warmup_s:g} s warm-up + {found.duration_s:g} s{longest}"


def compile_end(event: CompileEnded) -> str:
    """Say how the compilation went."""
    if event.manifest is None:
        return f"{event.failure}; the run goes on without the compiled candidates"
    if event.reused:
        return "compiled artifact: kept from before"
    done = f"compiled for {event.manifest.target.name} in {short_duration(event.seconds)}"
    if rest := not_wholly_compiled(event.manifest):
        done = f"{done}; {rest}"
    if event.manifest.parity is None:
        return done
    max_rel = max(each.max_rel for each in event.manifest.parity.outputs)
    return f"{done}; largest difference from the source model's outputs: {max_rel:.1e}, relative"


def loading(event: TrialLoaded) -> str:
    """Say where the running load test is."""
    now = event.progress
    phase = "warm-up" if now.warmup else f"{now.rate_rps:.3g} requests/s"
    errors = f", {now.errors} errors" if now.errors else ""
    return f"{level_name(event.spec)}, {phase}{errors}"


def outcome(trial: Trial) -> str:
    """Say what came of a trial."""
    if trial.failure is not None:
        return f"failed: {trial.failure}"
    return "; ".join(map(_point, trial.points))


def _point(point: LoadResult) -> str:
    rate = shown(point.throughput_rps.value, point.throughput_rps.low, point.throughput_rps.high).text
    p50 = shown(point.percentile_ms(50.0)).text
    errors = f", {point.error_rate:.1%} errors" if point.errors else ""
    return f"{level_name(point.spec)}: {rate} requests/s, p50 {p50} ms{errors}"
