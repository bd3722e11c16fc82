"""Simulated gates: how often they cry wolf, what they find, and how soon."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from benchmarks.compare.simulate import DISTURBED, MACHINES, QUIET, Machine, counted, pair_ratios
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import TrimmedMean, standard_error
from modeldyno.trials.compare.latencies import Floats
from modeldyno.trials.compare.looks.detectable import looks_of, smallest_found
from modeldyno.trials.compare.looks.sequential import Limit, Progress, limit_of, look
from modeldyno.trials.compare.looks.spending import LOOKS

PAIRS, BUDGET_S = 100, 60.0
FIVE = math.log(1.05)
NEVER = Limit(regression=-0.99, floor=0.0)
"""A limit that nothing passes: the test is asked at every look."""
SIGNS = Signs(0)
Row = dict[str, Any]


def alarms(tries: int) -> Iterator[Row]:
    """Both sides alike: the test alone, the gate without and with its floor, and starts that differ."""
    for name, machine in MACHINES.items():
        for alpha in (0.01, 0.1):
            yield _alarm_row(f"test alone, {name}", machine, NEVER, alpha, tries)
        yield _alarm_row(f"gate, floor 0, {name}", machine, Limit(0.05, 0.0), 0.01, tries)
        yield _alarm_row(f"gate, floor 2.5 %, {name}", machine, limit_of(0.05), 0.01, tries)
    for sd in (0.005, 0.01):
        for floor in (0.0, 0.025):
            machine = replace(QUIET, start_sd=sd)
            what = f"gate, floor {floor:.1%}, starts differ by {sd:.1%}"
            yield _alarm_row(what, machine, Limit(0.05, floor), 0.01, tries)
        yield _alarm_row(
            f"test alone, starts differ by {sd:.1%}", replace(QUIET, start_sd=sd), NEVER, 0.01, tries
        )


def power(tries: int) -> Iterator[Row]:
    """+5 %, the limit itself: how often it is found, passed or left open, and when."""
    machines = {**MACHINES, "quiet, standard error 0.8 %": Machine(block_sd=0.073 / 2**0.5)}
    for name, machine in machines.items():
        found = _gates(machine, FIVE, limit_of(0.05), 0.01, tries)
        yield {
            "what": f"+5 %, {name}",
            "standard_error": round(_standard_error(machine), 5),
            **counted(sum(verdict == "regression" for verdict, _, _ in found), tries),
            "passed": sum(verdict == "pass" for verdict, _, _ in found) / tries,
            "inconclusive": sum(verdict == "inconclusive" for verdict, _, _ in found) / tries,
            **_seconds(found, "regression"),
        }
    for name, machine in MACHINES.items():
        found = _gates(machine, 0.0, limit_of(0.05), 0.01, tries)
        passed = sum(verdict == "pass" for verdict, _, _ in found)
        yield {"what": f"no difference, {name}, passed", **counted(passed, tries), **_seconds(found, "pass")}


def sizes(tries: int) -> Iterator[Row]:
    """The smallest regression that is stated, and how often one of that size is found."""
    limit = limit_of(0.05)
    for name, machine in {
        "pair 3 %": QUIET,
        "pair 10 %": Machine(block_sd=0.1 / 2**0.5),
        "pair 3 %, a fifth of blocks disturbed": DISTURBED,
    }.items():
        error = _standard_error(machine)
        stated = smallest_found(error, (FIVE, math.log1p(limit.floor)), looks_of(PAIRS))
        found = _gates(machine, stated, limit, 0.01, tries)
        yield {
            "what": name,
            "standard_error": round(error, 5),
            "stated": round(math.expm1(stated), 5),
            **counted(sum(verdict == "regression" for verdict, _, _ in found), tries),
        }


def _alarm_row(what: str, machine: Machine, limit: Limit, alpha: float, tries: int) -> Row:
    found = _gates(machine, 0.0, limit, alpha, tries)
    hits = sum(alarm if limit is NEVER else verdict == "regression" for verdict, _, alarm in found)
    return {"what": what, "alpha": alpha, **counted(hits, tries)}


def _gates(
    machine: Machine, true: float, limit: Limit, alpha: float, tries: int
) -> list[tuple[str | None, float, bool]]:
    """Verdict, share of the budget, and whether the test alone ever rejected, of so many gates."""
    rng = np.random.default_rng(20)
    return [_gate(pair_ratios(rng, machine, PAIRS, true=true), limit, alpha) for _ in range(tries)]


def _gate(values: Floats, limit: Limit, alpha: float) -> tuple[str | None, float, bool]:
    progress, alarm = Progress(), False
    for share in LOOKS:
        seen = round(PAIRS * share)
        statistic = {"p50_ms": TrimmedMean(tuple(range(seen)), values[:seen])}
        progress = look(progress, statistic, SIGNS, share, {"p50_ms": limit}, alpha=alpha)
        alarm |= any(each.level > 0 and each.p_worse <= each.level for each in progress.latest.values())
        if progress.verdict is not None or (alarm and limit is NEVER):
            break
    return progress.verdict, progress.share, alarm


def _seconds(found: list[tuple[str | None, float, bool]], verdict: str) -> Row:
    seconds = [BUDGET_S * share for kind, share, _ in found if kind == verdict]
    if not seconds:
        return {}
    return {"median_s": median(seconds), "p90_s": float(np.quantile(seconds, 0.9))}


def _standard_error(machine: Machine) -> float:
    rng = np.random.default_rng(1)
    runs = [TrimmedMean(tuple(range(PAIRS)), pair_ratios(rng, machine, PAIRS)) for _ in range(20)]
    return float(np.mean([standard_error(run, SIGNS.of(range(PAIRS))) for run in runs]))
