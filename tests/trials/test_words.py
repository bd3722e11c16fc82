from __future__ import annotations

import math
import re

import numpy as np
import pytest

from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import TrimmedMean
from modeldyno.trials.compare.looks.sequential import Limit, Progress, look
from modeldyno.trials.compare.looks.words import sentence
from modeldyno.trials.compare.metrics import worse_log


@pytest.mark.parametrize(
    ("metric", "share", "sd", "said"),
    [
        ("p50_ms", 0.02, 0.01, r"slower by 2\.\d % \(\d\.\d to \d\.\d\), under the limit of 5 %"),
        ("p50_ms", 0.2, 0.01, r"slower by 2[01]\.\d % \([\d.]+ to [\d.]+\), over the limit of 5 %"),
        ("p50_ms", -0.1, 0.01, r"faster by (9|10)\.\d % \([\d.]+ to [\d.]+\)"),
        ("throughput_rps", 0.1, 0.01, r"less by (9|10)\.\d % \([\d.]+ to [\d.]+\), over the limit of 5 %"),
        ("throughput_rps", -0.1, 0.01, r"more by (9|10)\.\d % \([\d.]+ to [\d.]+\)"),
        ("p50_ms", 0.0, 0.9, r"(slower|faster) by [\d.]+ % \(-[\d.]+ to [\d.]+\), not decided at the .*"),
    ],
)
def test_a_sentence_for_each_verdict(metric: str, share: float, sd: float, said: str) -> None:
    values = worse_log(metric, share) + sd * np.random.default_rng(0).standard_normal(60)
    statistic = {metric: TrimmedMean(tuple(range(60)), values)}
    progress = look(Progress(), statistic, Signs(0, 4000), 1.0, {metric: Limit()})
    found = sentence(metric, progress.latest[metric], Limit())
    assert re.fullmatch(said, found), found


def test_no_vector_rare_enough_is_no_interval() -> None:
    statistic = {"p50_ms": TrimmedMean(tuple(range(60)), np.full(60, math.log(1.02)))}
    progress = look(Progress(), statistic, Signs(0, 100), 0.5, {"p50_ms": Limit()})
    assert sentence("p50_ms", progress.latest["p50_ms"], Limit()).startswith(
        "slower by 2.0 % (too few pairs for an interval), not decided"
    )
