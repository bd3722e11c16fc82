"""How a run's plan, steps and results are worded on the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modeldyno.base.records.levels import users_name
from modeldyno.base.records.load import LoadResult, RateSearch
from modeldyno.base.records.run import Candidate, Row, ServerSettings, Trial
from modeldyno.base.units import short_duration
from modeldyno.loadgen.spec.stages import closed_loop, load_name
from modeldyno.recommender.job.load_section import Load
from modeldyno.recommender.show.events import AloneMeasured, CompileEnded, RunPlanned, TrialLoaded
from modeldyno.reports.text.digits import figures, shown
from modeldyno.trials.measure.compiled import not_wholly_compiled
from modeldyno.trials.measure.rate_search import found_rate


def candidate(found: Candidate | Row) -> str:
    """Name a candidate: `c7a.large compiled 2x1` (threads x workers), and what else it was set to."""
    return f"{found.instance_type} {found.backend} {settings(found.settings)}"


def settings(found: ServerSettings) -> str:
    """Name server settings: `2x1`, `1x1 in 2 processes, batches of 8 after 5 ms`."""
    processes = f" in {found.processes} processes" if found.processes > 1 else ""
    delay = f" after {found.batch_delay_ms:g} ms" if found.batch_delay_ms else ""
    batches = f", batches of {found.max_batch}{delay}" if found.max_batch > 1 else ""
    return f"{found.threads}x{found.workers}{processes}{batches}"


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
        about = "about"
        is_open = event.load.find_rate is not None or event.load.rate_rps is not None
        waits = ", nor waiting for a server that a load test overloaded" if is_open else ""
        yield (
            f"this takes {about} {short_duration(event.seconds)}, at most "
            f"{short_duration(event.most_seconds)}, compilation not counted{waits}"
        )


def plan_facts(event: RunPlanned) -> dict[str, Any]:
    """Give the same as `plan` for a machine."""
    return {
        "to_measure": [each.candidate.key for each in event.to_measure],
        "kept": [trial.candidate.key for trial in event.kept],
        "cannot_run_here": {each.candidate.key: refusal for each, refusal in event.refused},
        "load": load(event.load),
        "about_s": round(event.seconds, 1),
        "at_most_s": round(event.most_seconds, 1),
        "notes": list(event.notes),
    }


def load(found: Load) -> str:
    """Word the load levels: `1, 2, 4 users (closed loop), each 2 s warm-up + 10 s`."""
    if staged := found.staged:
        return f"{closed_loop(staged)} (closed loop) after {found.warmup_s:g} s of warm-up"
    longest = ""
    if found.find_rate is not None:
        longest = f" to {found.longest_s:g} s"
    elif found.min_samples and found.longest_s > found.window_s:
        longest = f", up to {found.longest_s:g} s for {found.min_samples} samples"
    return f"{_kind(found)}, each {found.warmup_s:g} s warm-up + {found.window_s:g} s{longest}"


def _kind(found: Load) -> str:
    arrival = f"{found.arrival} arrivals"
    if found.arrival == "gamma":
        arrival = f"{arrival} of burstiness {found.burstiness:g}"
    if found.trace is not None:
        arrival = f"arrivals of {found.trace.name}"
    scenario = f"MLPerf's {found.scenario}: " if found.scenario else ""
    if found.find_rate is not None:
        most = found.find_rate.max_tests
        return f"{scenario}search of the highest rate (open loop, {arrival}), at most {most} load tests"
    if found.rate_rps is not None:
        rates = ", ".join(f"{rate:g}" for rate in found.rate_rps)
        return f"{scenario}{rates} requests/s (open loop, {arrival})"
    if found.trace is not None:
        return f"open loop, {arrival} at their own rate"
    users = [spec.users for spec in found.specs("", 0)]
    named = "1 user" if users == [1] else f"{', '.join(map(str, users))} users"
    return f"{scenario}{named} (closed loop)"


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
    told = f"{done}; largest difference from the source model's outputs: {max_rel:.1e}, relative"
    undecided = ", ".join(event.manifest.parity.undecided)
    return f"{told}; the check does not decide whether {undecided} is right" if undecided else told


def alone(event: AloneMeasured) -> str:
    """Say what a candidate did in a start of its own."""
    found, name = event.alone, candidate(event.candidate)
    if found.failure:
        return f"{name}: failed: {found.failure}"
    rates = ", ".join(
        f"{1 / seconds:.3g} requests/s at {users_name(int(cell.rpartition('@')[2]))}"
        for cell, seconds in found.request_s.items()
    )
    memory = f", {found.memory_mib:.0f} MiB" if found.memory_mib else ""
    return f"{name}: started in {found.startup_s:.2g} s, {rates}{memory}"


def loading(event: TrialLoaded) -> str:
    """Say where the running load test is."""
    now = event.progress
    phase = "warm-up" if now.warmup else f"{figures(now.rate_rps, 3)} requests/s"
    errors = f", {now.errors} errors" if now.errors else ""
    return f"{load_name(event.spec)}, {phase}{errors}"


def outcome(trial: Trial) -> str:
    """Say what came of a trial."""
    if trial.failure is not None:
        return f"failed: {trial.failure}"
    if trial.search is not None:
        return _search(trial.search, trial.points)
    return "; ".join(map(_point, trial.points))


def _search(found: RateSearch, points: Sequence[LoadResult]) -> str:
    rate = found_rate(found, points)
    if rate is None:
        if found.undecided:
            return f"not decided: {found.undecided}"
        return f"no rate met the limits, of {len(found.steps)} tried"
    above = "no end was found" if rate.high == float("inf") else f"{figures(rate.high)} certainly does not"
    below = f"{figures(rate.low)} certainly does" if rate.low else "none certainly does"
    return (
        f"{figures(rate.value)} requests/s meet the limits ({below}, {above}), {len(found.steps)} load tests"
        + (f"; not decided: {found.undecided}" if found.undecided else "")
    )


def _point(point: LoadResult) -> str:
    rate = shown(point.throughput_rps.value, point.throughput_rps.low, point.throughput_rps.high).text
    p50 = shown(point.percentile_ms(50.0)).text
    errors = f", {point.error_rate:.1%} errors" if point.errors else ""
    return f"{load_name(point.spec)}: {rate} requests/s, p50 {p50} ms{errors}"
