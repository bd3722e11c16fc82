"""The section of benchmarks.loadgen on intervals: simulated, thousands of samples of a known truth."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.loadgen.goals import Verdict
from benchmarks.loadgen.queueing import Queue
from benchmarks.loadgen.queueing_samples import queue_samples
from benchmarks.loadgen.sections import LOADS, SERVICE_MS, SHARES, Row
from modeldyno.loadgen.stats.dependence import Dependence
from modeldyno.loadgen.stats.intervals import effective_ranks, order_ranks

AT_ONCE = 50
WINDOWS_S = (10.0, 60.0)
INDEPENDENT = (200, 1000, 10_000)
LEAST_COVERED, MOST_WIDER = 0.93, 0.10
Floats = npt.NDArray[np.float64]
Ends = tuple[float, float]


def intervals_section(quick: bool) -> list[Row]:
    """How often 95 % intervals hold the truth: M/M/1 at four loads, two lengths; and independent samples."""
    runs = 200 if quick else 2000
    rng = np.random.default_rng(1)
    rows: list[Row] = []
    for samples in INDEPENDENT:
        whole = (rng.exponential(1.0, (AT_ONCE, samples)) for _ in range(runs // AT_ONCE))
        truths = {share: -math.log(1 - share / 100) for share in SHARES}
        rows += _rows("independent", 0.0, samples, truths, whole)
    for load in LOADS:
        queue = Queue(load * 1000 / SERVICE_MS, SERVICE_MS / 1000, fixed=False)
        truths = {share: queue.quantile_s(share / 100) for share in SHARES}
        for seconds in WINDOWS_S:
            samples = round(queue.rate * seconds)
            whole = (queue_samples(queue, samples, AT_ONCE, rng) for _ in range(runs // AT_ONCE))
            rows += _rows("M/M/1", load, samples, truths, whole)
    return rows


def _rows(
    name: str, load: float, samples: int, truths: dict[float, float], whole: Iterator[Floats]
) -> Iterator[Row]:
    found: dict[float, list[tuple[Ends, Ends]]] = {share: [] for share in SHARES}
    for block in whole:
        for latency in block:
            ordered = np.sort(latency)
            dependence = Dependence(latency, ordered)
            for share in SHARES:
                effective = dependence.effective_samples(share / 100)
                ours = _ends(ordered, effective_ranks(samples, effective, share / 100))
                found[share].append((ours, _ends(ordered, order_ranks(samples, share / 100))))
    for share, pairs in found.items():
        about = {"samples of": name, "load": load, "samples": samples, "percentile": f"p{share:g}"}
        yield _row(about, truths[share], pairs)


def _row(about: Row, truth: float, pairs: list[tuple[Ends, Ends]]) -> Row:
    independent = about["samples of"] == "independent"
    ours, plain = zip(*pairs, strict=True)
    held = _held(ours, truth)
    wide, needed = np.median(_widths(ours)), np.median(_widths(plain))
    wider = float(wide / needed - 1) if math.isfinite(wide) else None
    of = "independent samples" if independent else f"requests at {about['load']:g}"
    who = f"{about['percentile']} of {about['samples']} {of}"
    verdicts = [_often_enough(who, held)]
    if independent and wider is not None:
        verdicts.append(_not_much_wider(who, wider))
    return {
        **about,
        "runs": len(pairs),
        "covered": held,
        "too high": sum(low > truth for low, _ in ours) / len(ours),
        "too low": sum(high < truth for _, high in ours) / len(ours),
        "open above": sum(math.isinf(high) for _, high in ours) / len(ours),
        "as if independent": _held(plain, truth),
        "times as wide": None if wider is None else 1 + wider,
        "verdicts": [verdict.row() for verdict in verdicts],
    }


def _often_enough(who: str, held: float) -> Verdict:
    return Verdict(
        f"95 % interval of {who} holds the truth in {LEAST_COVERED:.0%} or more",
        f"{held:.1%}",
        met=held >= LEAST_COVERED,
    )


def _not_much_wider(who: str, wider: float) -> Verdict:
    goal = f"interval of {who} at most {MOST_WIDER:.0%} wider than it needs be"
    return Verdict(goal, f"{wider:+.1%} (medians)", met=wider <= MOST_WIDER)


def _ends(ordered: Floats, ranks: tuple[int | None, int | None]) -> Ends:
    low, high = ranks
    return (
        -math.inf if low is None else float(ordered[low - 1]),
        math.inf if high is None else float(ordered[high - 1]),
    )


def _held(ends: tuple[Ends, ...], truth: float) -> float:
    return sum(low <= truth <= high for low, high in ends) / len(ends)


def _widths(ends: tuple[Ends, ...]) -> list[float]:
    return [high - low for low, high in ends]
