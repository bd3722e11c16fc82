"""What the rounds of a gate say: each metric with its interval and its words, and how far to trust them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from modeldyno.base.records.gate import GateMetric, GateVerdict, GateWarning
from modeldyno.gate.live.rounds import BASELINE, CANDIDATE, LATENCY_CELL, SIDES, Course, GateOrder, cell_of
from modeldyno.trials.compare.blocks import Block, Pair
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import TrimmedMean, interval
from modeldyno.trials.compare.latencies import encoded
from modeldyno.trials.compare.looks.detectable import smallest_regression
from modeldyno.trials.compare.looks.sequential import MetricLook
from modeldyno.trials.compare.looks.words import difference, sentence
from modeldyno.trials.compare.metrics import (
    CPU,
    P50,
    THROUGHPUT,
    percentile_share,
    statistic_of,
    worse_share,
)
from modeldyno.trials.compare.plan import FEWEST_PAIRS
from modeldyno.trials.compare.starts import Spread, Start, between_starts, starts_of
from modeldyno.trials.compare.taint import Sorted

MOST_ERRORS = 0.01
"""Share of failed requests on the baseline's side from which on latencies say little."""
SHOWN_LEVEL = 0.005
UNITS = {THROUGHPUT: "requests/s", CPU: "ms"}


def metrics(course: Course, order: GateOrder) -> tuple[GateMetric, ...]:
    """The judged metrics in the order in which they were asked for, then CPU time, which is only shown."""
    found = [_metric(metric, course, order) for metric in order.limits]
    shown = None if CPU in order.limits else _shown_cpu(course, order)
    return (*found, *([shown] if shown else []))


def _metric(metric: str, course: Course, order: GateOrder) -> GateMetric:
    limit, each = order.limits[metric], course.progress.latest.get(metric)
    pairs = course.judged(metric)
    ours, theirs = (side_value(metric, pairs, side) for side in SIDES)
    if each is None:
        return GateMetric(
            metric=metric,
            verdict="inconclusive",
            text=f"not decided: {len(pairs)} pairs, and {FEWEST_PAIRS} are needed",
            unit=UNITS.get(metric, "ms"),
            baseline=ours,
            candidate=theirs,
            max_regression=limit.regression,
            ignore_below=limit.floor,
            pairs=len(pairs),
        )
    low, high = each.ends
    return GateMetric(
        metric=metric,
        verdict=each.verdict or "inconclusive",
        text=sentence(metric, each, limit),
        unit=UNITS.get(metric, "ms"),
        baseline=ours,
        candidate=theirs,
        change=worse_share(metric, each.estimate),
        change_low=_finite(metric, low),
        change_high=_finite(metric, high),
        confidence=1 - 2 * each.level,
        median_change=_median_change(metric, each),
        max_regression=limit.regression,
        ignore_below=limit.floor,
        pairs=len(each.statistic.numbers),
        smallest_found=_smallest(metric, each, course, order),
        decided_s=course.decided_s.get(metric),
    )


def _smallest(metric: str, each: MetricLook, course: Course, order: GateOrder) -> float | None:
    """Had the run gone on to the end of its budget, with pairs as they came so far."""
    pairs = len(each.statistic.numbers)
    share = min(1.0, max(course.progress.share, 1e-9))
    found = smallest_regression(
        metric,
        each,
        round(pairs / share),
        order.limits[metric],
        metrics=len(order.limits),
        alpha=order.alpha,
    )
    return found if math.isfinite(found) else None


def _shown_cpu(course: Course, order: GateOrder) -> GateMetric | None:
    """CPU time per request says whether a difference is the program's; it has no limit of its own."""
    cell = (
        LATENCY_CELL if any(cell_of(name) == LATENCY_CELL for name in order.limits) else cell_of(THROUGHPUT)
    )
    pairs = tuple(pair for pair in course.pairs(cell).judged if pair.baseline.cpu_s and pair.candidate.cpu_s)
    if len(pairs) < FEWEST_PAIRS:
        return None
    statistic = statistic_of(CPU, pairs)
    ends = interval(statistic, Signs(order.seed).of(statistic.numbers), SHOWN_LEVEL)
    return GateMetric(
        metric=CPU,
        verdict="pass",
        text=f"{difference(CPU, statistic.estimate, ends)}; shown, not limited",
        unit="ms",
        baseline=side_value(CPU, pairs, BASELINE),
        candidate=side_value(CPU, pairs, CANDIDATE),
        change=worse_share(CPU, statistic.estimate),
        change_low=_finite(CPU, ends[0]),
        change_high=_finite(CPU, ends[1]),
        confidence=1 - 2 * SHOWN_LEVEL,
        pairs=len(pairs),
    )


def side_value(metric: str, pairs: Sequence[Pair], side: str) -> float | None:
    """A side's own value in the pairs that are judged: the median of its blocks; of a tail all requests."""
    blocks = [pair.baseline if side == BASELINE else pair.candidate for pair in pairs]
    if not blocks:
        return None
    if metric == P50:
        return statistics.median(block.p50_us for block in blocks) / 1000
    if metric == THROUGHPUT:
        return statistics.median(block.requests / block.seconds for block in blocks)
    if metric == CPU:
        return statistics.median(1000 * (block.cpu_s or 0.0) / block.requests for block in blocks)
    pooled = np.concatenate([block.latency_us for block in blocks])
    return float(np.quantile(pooled, percentile_share(metric), method="higher")) / 1000


def _median_change(metric: str, each: MetricLook) -> float | None:
    if not isinstance(each.statistic, TrimmedMean):
        return None
    return worse_share(metric, each.statistic.median)


def _finite(metric: str, log_ratio: float) -> float | None:
    return worse_share(metric, log_ratio) if math.isfinite(log_ratio) else None


def histograms(course: Course, order: GateOrder) -> dict[str, str]:
    """Latencies of each side in the pairs that are judged, for whoever draws them."""
    cell = cell_of(next(iter(order.limits)))
    pairs = course.pairs(cell).judged
    if not pairs:
        return {}
    sides: dict[str, list[Block]] = {
        BASELINE: [pair.baseline for pair in pairs],
        CANDIDATE: [pair.candidate for pair in pairs],
    }
    return {
        side: encoded(np.sort(np.concatenate([block.latency_us for block in blocks])))
        for side, blocks in sides.items()
    }


def spread_of_starts(course: Course, order: GateOrder) -> Spread | None:
    """What the starts of this run differ by, alone; None with fewer than two of 4 pairs each."""
    metric = next(iter(order.limits))
    pairs = course.judged(metric if metric in (P50, THROUGHPUT, CPU) else P50)
    if not pairs:
        return None
    statistic = statistic_of(metric if metric in (P50, THROUGHPUT, CPU) else P50, pairs)
    assert isinstance(statistic, TrimmedMean)  # noqa: S101 - these three are
    group: tuple[Start, ...] = starts_of(statistic.values, [pair.epoch for pair in pairs])
    return between_starts([group], Spread(0.0, 0)) if len(group) > 1 else None


def warnings(course: Course, order: GateOrder) -> Iterator[GateWarning]:
    """What changes how far the answer holds, the most important first."""
    sorted_pairs = course.pairs(cell_of(next(iter(order.limits))))
    yield from _of_errors(course)
    for text in sorted_pairs.weak:
        yield GateWarning(
            rank="weak", text=text, advice="run it where less else runs, or with a larger --budget"
        )
    for side, number in course.not_full.items():
        if number:
            yield GateWarning(
                rank="weak",
                text=f"{number} turns of the {side} did not begin or end as they should: "
                f"{course.first_errors.get(side, '')}",
                advice="is it overloaded? ask for a lower --rate" if order.rate_rps else "see its log",
            )
    for side, cores in course.restless.items():
        yield GateWarning(
            rank="note",
            text=f"the {side} uses {cores:.2f} cores while nobody asks it anything",
            advice="it was paused while the other side was measured",
        )
    if course.epochs < 2 and order.epochs:
        yield GateWarning(
            rank="note",
            text="one start of each side: what starts differ by is taken from the floor",
            advice="",
        )
    if not order.epochs:
        yield GateWarning(
            rank="weak",
            text="both sides run elsewhere: no new starts, no CPU time, and nothing says what else they do",
            advice="give artifacts or models instead of URLs",
        )
    for name, limit in order.limits.items():
        if limit.floor > limit.regression:
            yield GateWarning(
                rank="weak",
                text=f"{name}: starts differ so much here that less than {limit.floor:.1%} is no regression, "
                f"and the limit is {limit.regression:.1%}",
                advice="a larger limit, or a quieter machine and another --self-test",
            )
    yield from _of_sharing(order)


def _of_errors(course: Course) -> Iterator[GateWarning]:
    for side in SIDES:
        failed = course.errors[side]
        if failed:
            asked = failed + sum(
                block.requests for block in course.blocks if block.candidate.startswith(side)
            )
            why = course.first_errors.get(side, "")
            # The candidate's failures are judged by the error rate; latencies beside the baseline's are void.
            void = side == BASELINE and failed / asked > MOST_ERRORS
            yield GateWarning(
                rank="void" if void else "weak",
                text=f"{failed} of {asked} requests to the {side} failed: {why}",
                advice="see its log",
            )


def _of_sharing(order: GateOrder) -> Iterator[GateWarning]:
    from modeldyno.base.host.facts import usable_cores

    if order.epochs and not set(usable_cores()) - set(order.cores):
        yield GateWarning(
            rank="note",
            text="the load generator shares the servers' cores: both sides are slower than they would be",
            advice="leave it a core: --cpus",
        )


def overall(found: Sequence[GateMetric]) -> GateVerdict:
    """The verdict of all metrics, exact ones included."""
    if any(each.verdict == "regression" for each in found):
        return "regression"
    limited = [each for each in found if each.max_regression is not None]
    if any(each.verdict == "inconclusive" for each in limited):
        return "inconclusive"
    measured = [each for each in limited if not each.exact]
    if measured and all(each.verdict == "improvement" for each in measured):
        return "improvement"
    return "pass"


def dropped(pairs: Sorted) -> tuple[int, Mapping[str, int]]:
    """How many pairs were left out, and for what."""
    judged = {pair.number for pair in pairs.judged}
    left_out = sum(pair.number not in judged for pair in pairs.tainted)
    return left_out, dict(pairs.reasons)
