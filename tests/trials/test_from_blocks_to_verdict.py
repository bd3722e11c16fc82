"""All steps together, as a runner with real servers would take them."""

from __future__ import annotations

import numpy as np
import pytest

from modeldyno.trials.compare.blocks import Block, pairs_of
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.latencies import binned
from modeldyno.trials.compare.looks.detectable import smallest_regression
from modeldyno.trials.compare.looks.sequential import Progress, limit_of, look
from modeldyno.trials.compare.looks.spending import LOOKS
from modeldyno.trials.compare.looks.words import sentence
from modeldyno.trials.compare.metrics import statistic_of
from modeldyno.trials.compare.plan import epoch_of, plan_blocks, round_order
from modeldyno.trials.compare.records import block_of, block_record
from modeldyno.trials.compare.taint import TaintLimits, sort_pairs
from tests.trials.made import BUSY, QUIET

SEED = 3
METRICS = ("p50_ms", "p95_ms", "throughput_rps")


def measured(ratio: float) -> list[Block]:
    """60 s of a service of 10 ms; in a tenth of the rounds something else runs for one block of the two."""
    rng = np.random.default_rng(1)
    plan = plan_blocks({"main": 0.01, "new": 0.01 * ratio}, 60.0)
    blocks = []
    for number in range(plan.rounds):
        disturbed = rng.random() < 0.1
        for position, name in enumerate(round_order(("main", "new"), number, SEED)):
            beside = disturbed and position == 1
            scale = 10_000 * (ratio if name == "new" else 1.0) * (1.6 if beside else 1.0)
            latency_us = scale * np.exp(0.1 * rng.standard_normal(25))
            blocks.append(
                Block(
                    name,
                    number,
                    epoch_of(number / plan.rounds),
                    position,
                    start_s=number * plan.round_s,
                    seconds=float(latency_us.sum()) / 1e6,
                    latency_us=binned(latency_us),
                    readings=BUSY if beside else QUIET,
                )
            )
    return blocks


def judged(blocks: list[Block]) -> Progress:
    signs, progress, rounds = Signs(SEED, 4000), Progress(), max(block.round for block in blocks) + 1
    for share in LOOKS:
        seen = [block for block in blocks if block.round < share * rounds]
        pairs = sort_pairs(pairs_of(seen, "main", "new"), TaintLimits()).judged
        statistics = {metric: statistic_of(metric, pairs) for metric in METRICS}
        progress = look(progress, statistics, signs, share, dict.fromkeys(METRICS, limit_of(0.05)))
        if progress.verdict is not None:
            break
    return progress


@pytest.mark.parametrize(("ratio", "verdict"), [(1.0, "pass"), (1.08, "regression"), (0.9, "improvement")])
def test_verdicts_from_blocks_and_from_their_records_are_one(ratio: float, verdict: str) -> None:
    blocks = measured(ratio)
    live, read = judged(blocks), judged([block_of(block_record(block)) for block in blocks])
    assert live.verdict == verdict
    for metric, each in live.latest.items():
        again = read.latest[metric]
        assert (each.estimate, each.ends, each.verdict) == (again.estimate, again.ends, again.verdict)
        assert sentence(metric, each, limit_of(0.05)) == sentence(metric, again, limit_of(0.05))
        assert 0.02 < smallest_regression(metric, each, 100, limit_of(0.05), metrics=3) < 0.06


def test_metrics_of_different_rounds_are_judged_together() -> None:
    blocks = measured(1.0)
    early = pairs_of([block for block in blocks if block.round < 40], "main", "new")
    late = pairs_of([block for block in blocks if block.round >= 40], "main", "new")
    statistics = {
        "p50_ms": statistic_of("p50_ms", early),
        "throughput_rps": statistic_of("throughput_rps", late),
    }
    progress = look(Progress(), statistics, Signs(SEED, 4000), 1.0, dict.fromkeys(statistics, limit_of(0.5)))
    assert progress.verdict == "pass"
    # Of coins of their own: two metrics that have nothing in common take a half each.
    assert progress.latest["p50_ms"].level == pytest.approx(0.005, abs=0.0015)
