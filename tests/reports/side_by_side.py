"""Records of a run whose candidates took turns, and the sample run folder made from them.

`python -m tests.reports.side_by_side FOLDER` writes a folder like tests/golden/side_by_side. c7a.large and
c7i.large are one machine here; c7a.medium's ONNX Runtime is void, m7a.large's died.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from modeldyno.base.records.comparison import Comparison, SameMachine, Throughputs
from modeldyno.base.records.compiling import CompileSummary
from modeldyno.base.records.ranked_warning import RankedWarning
from modeldyno.base.records.run import InstanceType, Limits, Recommendation, Row, Trial
from tests.reports.sample import (
    HOSTILE,
    LOG,
    Backend,
    host,
    instance,
    point,
    recommendation,
    row,
    trial,
    write_run,
)

GOLDEN_SIDE_BY_SIDE = Path(__file__).parents[1] / "golden" / "side_by_side"
LARGE, OTHER_LARGE = instance("c7a.large", 2, 0.10264), instance("c7i.large", 2, 0.08925)
MEDIUM, DEAD = instance("c7a.medium", 1, 0.05132), instance("m7a.large", 2, 0.11592)
VOID = "the generator was late by 9 ms at its 99th percentile, 5 ms are allowed"
TURNS = "Candidates took turns under load, a moment each, in rounds of an order drawn by seed 0."
SAME = SameMachine(
    name="2 vCPUs",
    instance_types=("c7i.large", "c7a.large"),
    measured_as="c7a.large",
    decided=False,
    text="c7i.large, c7a.large are one machine here (2 vCPUs): measured once, and ordered by price over the "
    "CoreMark of their family for each vCPU; which of them is cheapest is not told: c7i.large and c7a.large "
    "are projected to differ by 22%, give or take 58%",
)
Against = tuple[float, float, float]


def measured(name: InstanceType, backend: Backend, rps: float, ms: float, seed: int) -> Trial:
    """Two levels of one candidate."""
    loads = [point(1, 0.6 * rps, 0.8 * ms, seed=seed), point(2, rps, ms, seed=seed + 1)]
    return trial(name, backend, loads, threads=name.vcpus).model_copy(update={"starts": 2})


def against(one: Row, ratio: Against | None, *weak: str) -> Row:
    """Put beside a row its cost over that of the best of the others."""
    if ratio is None:
        return one.model_copy(update={"weak": weak})
    names = ("against_best", "against_best_low", "against_best_high")
    return one.model_copy(update={**dict(zip(names, ratio, strict=True)), "weak": weak})


def same_machine(made: Trial, other: InstanceType) -> Trial:
    """The same measurement as another instance type's."""
    candidate = made.candidate.model_copy(update={"instance_type": other.instance_type})
    return made.model_copy(
        update={"candidate": candidate, "instance": other, "measured_as": made.candidate.key}
    )


def throughputs(ours: Trial, theirs: Trial, users: int, ratio: Against) -> Throughputs:
    """How many times as many requests one answers."""
    value, low, high = ratio
    return Throughputs(
        candidate=ours.candidate.key,
        against=theirs.candidate.key,
        users=users,
        ratio=value,
        low=low,
        high=high,
        rounds=36,
    )


def comparison(finalists: Sequence[Trial], found: Sequence[Throughputs], settling: str = "") -> Comparison:
    """How they were told apart."""
    return Comparison(
        rounds=36,
        starts=2,
        screening_rounds=5,
        tainted_rounds=4,
        spread_of_starts=0.003,
        finalists=tuple(one.candidate.key for one in finalists),
        settling=settling,
        throughputs=tuple(found),
        seconds=78.8,
    )


def told(ranking: Sequence[Row], rejected: Sequence[Row], how: Comparison, **more: object) -> Recommendation:
    """A recommendation of candidates side by side."""
    found = recommendation(ranking, rejected, Limits(p99_ms=100.0))
    return found.model_copy(update={"notes": (TURNS,), "comparison": how, **more})


@cache
def side_by_side() -> tuple[Recommendation, tuple[Trial, ...]]:
    """One machine of two names wins; a baseline, a void test, one that died."""
    first = measured(LARGE, "compiled", 90.0, 22.0, 1)
    again = same_machine(first, OTHER_LARGE)
    plain = measured(LARGE, "onnxruntime", 60.0, 33.0, 3)
    plain_again = same_machine(plain, OTHER_LARGE)
    small = measured(MEDIUM, "compiled", 36.0, 52.0, 5)
    void = measured(MEDIUM, "onnxruntime", 25.0, 55.0, 7)
    failure = f"the server died while loading (exit status 137): {HOSTILE}"
    dead = trial(DEAD, "onnxruntime", [], failure=failure, log=LOG)
    best: Against = (0.87, 0.81, 0.94)
    other: Against = (1.5, 1.4, 1.61)
    shares = "it shares its cores with the load generator, the other does not: it looks slower than it is"
    ranking = [
        against(row(again, 1, 1), best),
        against(row(first, 1, 2), best),
        against(row(small, 1, 3), (1.15, 1.06, 1.24), shares),
        against(row(plain_again, 1, 4), other),
        against(row(plain, 1, 5), other),
        row(void, 1, 6).model_copy(update={"invalid_reasons": (VOID,)}),
    ]
    found = told(
        ranking,
        [row(dead, None, None, reasons=(failure,))],
        comparison([first, small, plain], [throughputs(first, plain, 2, (1.5, 1.41, 1.6))]),
        same_machines=(SAME,),
        warnings=WARNINGS,
        compiled=COMPILED,
        host=host(),
    )
    return found, (first, again, plain, plain_again, small, void, dead)


WARNINGS = (
    RankedWarning(
        rank="void",
        text=f"c7a.medium onnxruntime: void, so not ranked: {VOID}",
        advice="run it again with --retry-failed, or free the machine",
    ),
    RankedWarning(
        rank="weak",
        text="c7a.medium compiled: it shares its cores with the load generator, the other does not: "
        "it looks slower than it is",
        advice="measure on a machine with a core to spare",
    ),
    RankedWarning(rank="note", text="the machine did other work in 4 of 36 rounds: left out"),
)
COMPILED = CompileSummary(
    target="host (x86_64, znver4)",
    seconds=71.3,
    max_abs=3.1e-6,
    max_rel=8.4e-7,
    cosine=1.0,
    samples=("normal", "zeros"),
    operators_share=1.0,
    flops_share=1.0,
)

if __name__ == "__main__":
    write_run(Path(sys.argv[1]), *side_by_side())
