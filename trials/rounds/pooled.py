"""The LoadResult of one candidate at one load level, from all of its blocks.

Throughput: the 25 % trimmed mean of the blocks' log rates, with Student's interval from winsorised squares
(Yuen, Biometrika 61, 1974): what the candidate does where nothing disturbs it, by the same statistic that
tells candidates apart. Percentiles: of all requests of the blocks. Requests of one block depend on each
other, blocks hardly do, so their interval is the wider of two: by order statistics as if all requests were
independent, and by drawing whole blocks again (cluster bootstrap: Davison and Hinkley, Bootstrap Methods and
their Application, 1997, section 3.8).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.load import (
    PERCENTILES,
    ErrorGroup,
    LoadResult,
    Percentile,
    Stop,
    TimelinePoint,
)
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate
from modeldyno.base.records.usage import MachineUsage, ResourceUsage
from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.stats.intervals import fewest_samples, order_ranks, quantile_rank, student_975
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.flips.statistic import TRIMMED, trimmed_mean
from modeldyno.trials.compare.latencies import Floats, Ints, encoded
from modeldyno.trials.compare.ranking import few_rounds
from modeldyno.trials.compare.starts import Spread, trimmed_error
from modeldyno.trials.compare.taint import TaintLimits

RESAMPLES = 1000
MOST_LATE = 0.5
"""Share of blocks with a late generator from which on the test is void."""
FEWEST_BLOCKS = 2


@dataclass(frozen=True)
class Around:
    """What is known of a cell besides its blocks."""

    started_at: str
    memory_mib: float | None
    """Highest resident memory of the server, in a start of its own."""
    first_error: str = ""
    taint: TaintLimits = field(default_factory=TaintLimits)
    spread: Spread = field(default_factory=lambda: Spread(0.0, 1))
    """Between starts, of a ratio of two candidates."""
    starts: int = 1
    screened: bool = False
    """Whether it is of a level that was left out after the screening: few samples are no news there."""
    shared_cores: int = 0
    """Cores that both the server and the generator may use."""


def pooled_result(spec: LoadSpec, blocks: Sequence[Block], around: Around) -> LoadResult:
    """Sum up the blocks of one cell; at least one of them has an answer."""
    whole = [block for block in blocks if block.whole]
    latency_us = np.sort(np.concatenate([block.latency_us for block in whole]))
    errors = sum(block.errors for block in blocks)
    window_s = math.fsum(block.seconds for block in whole)
    late = _late(whole, around.taint)
    return LoadResult(
        started_at=around.started_at,
        spec=spec,
        window_s=window_s,
        samples=len(latency_us),
        errors=errors,
        error_rate=errors / (errors + len(latency_us)),
        error_groups=_error_groups(errors, around.first_error),
        throughput_rps=throughput(whole, around),
        mean_ms=float(latency_us.mean()) / US_PER_MS,
        min_ms=float(latency_us[0]) / US_PER_MS,
        max_ms=float(latency_us[-1]) / US_PER_MS,
        percentiles=tuple(percentiles(whole)),
        histogram=encoded(latency_us),
        timeline=tuple(_timeline(blocks)),
        stop=Stop(rule="duration", at_s=window_s),
        server=_server(whole, around),
        generator=ResourceUsage(cpu_cores_mean=0.0, memory_mib_max=0.0, samples=0),
        machine=_machine(whole),
        host=host_facts(),
        warnings=tuple(_warnings(whole, errors, around)),
        invalid_reasons=tuple(_void(whole, late, around)),
    )


def throughput(blocks: Sequence[Block], around: Around) -> Estimate:
    """Requests a second of the undisturbed blocks, with what starts differ by in its interval."""
    logs = np.log([block.requests / block.seconds for block in blocks])
    value = float(trimmed_mean(logs))
    kept = len(logs) - 2 * int(TRIMMED * len(logs))
    own = 0.0
    if kept > 1:
        own = student_975(kept - 1) * few_rounds(kept - 1) * trimmed_error(logs)
    # The spread is that of a ratio: half of its variance is of one side.
    between = student_975(4) * around.spread.widening() / math.sqrt(2 * max(1, around.starts))
    half = math.hypot(own, between) if kept > 1 else math.inf
    return Estimate(
        value=math.exp(value),
        low=math.exp(value - half),
        high=math.exp(value + half) if math.isfinite(half) else float("inf"),
        method=f"95 %, Student t over the trimmed logarithms of {len(logs)} blocks, {around.starts} starts",
    )


def percentiles(blocks: Sequence[Block]) -> Iterator[Percentile]:
    """The PERCENTILES with their intervals."""
    pooled = np.concatenate([block.latency_us for block in blocks])
    order = np.argsort(pooled, kind="stable")
    which = np.repeat(np.arange(len(blocks)), [block.requests for block in blocks])[order]
    ordered, drawn = pooled[order], _drawn(len(blocks))
    for percent in PERCENTILES:
        share = percent / 100
        if len(ordered) < fewest_samples(share):
            yield Percentile(percentile=percent, ms=None, low_ms=None, high_ms=None)
            continue
        low, high = order_ranks(len(ordered), share)
        drawn_low, drawn_high = _by_blocks(ordered, which, drawn, share)
        low_us = min(drawn_low, *([ordered[low - 1]] if low is not None else []))
        yield Percentile(
            percentile=percent,
            ms=float(ordered[quantile_rank(len(ordered), share) - 1]) / US_PER_MS,
            low_ms=float(low_us) / US_PER_MS,
            high_ms=None if high is None else float(max(drawn_high, ordered[high - 1])) / US_PER_MS,
        )


def _drawn(blocks: int) -> Ints:
    """How often each block is drawn, resamples x blocks."""
    rng = np.random.default_rng(blocks)
    numbers = rng.integers(0, blocks, (RESAMPLES, blocks))
    return np.stack([np.bincount(row, minlength=blocks) for row in numbers])


def _by_blocks(ordered: Ints, which: Ints, drawn: Ints, share: float) -> tuple[float, float]:
    """2.5 % and 97.5 % of the quantile over draws of whole blocks."""
    found: Floats = np.empty(len(drawn))
    for number, times in enumerate(drawn):
        reached = np.cumsum(times[which])
        found[number] = ordered[np.searchsorted(reached, math.ceil(share * reached[-1]))]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _error_groups(errors: int, message: str) -> tuple[ErrorGroup, ...]:
    return (ErrorGroup(status=None, message=message or "failed", count=errors),) if errors else ()


def _timeline(blocks: Sequence[Block]) -> Iterator[TimelinePoint]:
    """One point a block, at its second of the run."""
    for block in blocks:
        p99_us = np.quantile(block.latency_us, 0.99, method="higher") if block.requests else None
        yield TimelinePoint(
            second=int(block.start_s),
            requests=block.requests + block.errors,
            errors=block.errors,
            p50_ms=block.p50_us / US_PER_MS if block.requests else None,
            p99_ms=None if p99_us is None else float(p99_us) / US_PER_MS,
            warmup=False,
        )


def _server(blocks: Sequence[Block], around: Around) -> ResourceUsage | None:
    used = [(block.cpu_s, block.seconds) for block in blocks if block.cpu_s is not None]
    if not used:
        return None
    cores = math.fsum(cpu_s for cpu_s, _ in used) / math.fsum(seconds for _, seconds in used)
    return ResourceUsage(cpu_cores_mean=cores, memory_mib_max=around.memory_mib or 0.0, samples=len(used))


def _machine(blocks: Sequence[Block]) -> MachineUsage | None:
    foreign = [block.readings.foreign_cpu for block in blocks if block.readings.foreign_cpu is not None]
    stolen = [block.readings.steal for block in blocks if block.readings.steal is not None]
    if not foreign:
        return None
    return MachineUsage(
        core_busy=(),
        other_cores_mean=sum(foreign) / len(foreign),
        stolen_share=sum(stolen) / len(stolen) if stolen else 0.0,
    )


def _late(blocks: Sequence[Block], taint: TaintLimits) -> int:
    """Blocks in which the generator itself was late by more than the limit, and a tenth of the latency."""
    return sum(
        (block.readings.generator_lag_ms or 0.0) > max(taint.generator_lag_ms, block.p50_us / US_PER_MS / 10)
        for block in blocks
    )


def _void(blocks: Sequence[Block], late: int, around: Around) -> Iterator[str]:
    if late > MOST_LATE * len(blocks):
        yield (
            f"the generator's event loop was late in {late} of {len(blocks)} blocks, by more than "
            f"{around.taint.generator_lag_ms:g} ms: give it a core of its own"
        )
    if len(blocks) < FEWEST_BLOCKS:
        yield f"only {len(blocks)} block was measured"


def _warnings(blocks: Sequence[Block], errors: int, around: Around) -> Iterator[str]:
    samples = sum(block.requests for block in blocks)
    missing = [
        percent for percent in PERCENTILES if percent < 99.5 and samples < fewest_samples(percent / 100)
    ]
    if missing and not around.screened:
        needs = ", ".join(f"p{percent:g} (needs {fewest_samples(percent / 100)})" for percent in missing)
        yield f"few samples: {samples} do not state {needs}; measure longer"
    if errors:
        yield f"{errors} of {samples + errors} requests failed; percentiles are those of the successful ones"
    tainted = sum(bool(around.taint.exceeded(block.readings)) for block in blocks)
    if tainted > len(blocks) / 4:
        yield f"the machine did other work in {tainted} of {len(blocks)} blocks"
    if around.shared_cores:
        yield f"server and load generator share {around.shared_cores} cores: they take time from each other"
