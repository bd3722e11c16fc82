"""Start-up times judged by ranks, and eight real starts of each side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.gate.limits import read_limits
from modeldyno.gate.live.startup import judged_starts
from modeldyno.gate.options import GateOptions
from modeldyno.gate.run import gate
from modeldyno.trials.compare.looks.sequential import limit_of
from tests.gate.live.servers import body, sleeper

LIMIT = limit_of(0.2, 0.0)


def starts(factor: float, seed: int = 0) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    made = np.exp(0.03 * rng.standard_normal((2, 8)))
    return {"baseline": list(made[0]), "candidate": list(factor * made[1])}


def test_the_same_passes_and_half_as_long_again_is_a_regression() -> None:
    assert judged_starts(starts(1.0), LIMIT, 0.01).verdict == "pass"
    worse = judged_starts(starts(1.5), LIMIT, 0.01)
    assert worse.verdict == "regression"
    assert worse.change is not None
    assert worse.change == pytest.approx(0.5, abs=0.06)
    assert worse.change_low is not None
    assert worse.change_high is not None
    assert 0.4 < worse.change_low < worse.change < worse.change_high < 0.62
    assert "against the limit of 20 %" in worse.text
    assert judged_starts(starts(0.7), LIMIT, 0.01).verdict == "improvement"
    assert judged_starts(starts(1.25), LIMIT, 1e-5).verdict == "inconclusive"  # 8 and 8 can't be so sure


def test_nothing_is_found_where_nothing_is_but_in_one_of_a_hundred() -> None:
    strict = replace(limit_of(0.0001, 0.0), floor=0.0)
    found = [judged_starts(starts(1.0, seed), strict, 0.01).verdict for seed in range(100)]
    assert found.count("regression") <= 4


def test_it_is_asked_for_by_name_and_is_of_servers_that_are_started_here(tmp_path: Path) -> None:
    limits = read_limits(("startup_s=20%", "p50_ms=5%"))
    assert limits.startup is not None
    assert limits.startup.floor == 0.1
    assert set(limits.measured) == {"p50_ms"}
    options = GateOptions(max_regression=("startup_s=20%",), output=tmp_path / "out")
    with pytest.raises(ConfigError, match="run elsewhere"):
        gate("http://127.0.0.1:9", "http://127.0.0.1:8", options)


@pytest.mark.slow
def test_a_candidate_that_starts_later_is_a_regression(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.001), sleeper(tmp_path / "b", 0.001)
    script = theirs / "inference.py"
    script.write_text("import time\ntime.sleep(3)\n" + script.read_text())
    options = GateOptions(max_regression=("startup_s=20%",), payload=body(tmp_path), output=tmp_path / "out")
    record = gate(str(ours), str(theirs), options)
    assert (record.verdict, record.exit_code) == ("regression", 1), record.headline
    startup = next(each for each in record.metrics if each.metric == "startup_s")
    assert startup.pairs == 8
    assert startup.candidate is not None
    assert startup.candidate > 3
