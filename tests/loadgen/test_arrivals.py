from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.loadgen.spec.arrivals import (
    arrivals,
    constant_arrivals,
    gamma_arrivals,
    poisson_arrivals,
    repeated,
    trace_rate,
)


def test_constant_arrivals_are_evenly_spaced_and_do_not_drift() -> None:
    assert list(islice(constant_arrivals(4), 5)) == [0, 0.25, 0.5, 0.75, 1.0]
    assert next(islice(constant_arrivals(3), 3_000_000, None)) == 1_000_000


def test_poisson_gaps_have_the_mean_and_spread_of_the_exponential() -> None:
    gaps = np.diff([0.0, *islice(poisson_arrivals(50, seed=1), 20_000)])
    # Mean and standard deviation are both 1/50; their standard errors are 0.7 % and 1 % of it.
    assert gaps.mean() == pytest.approx(0.02, rel=0.03)
    assert gaps.std() == pytest.approx(0.02, rel=0.04)
    assert gaps.min() > 0
    # Share of gaps above the mean: 1/e.
    assert (gaps > 0.02).mean() == pytest.approx(np.exp(-1), abs=0.015)
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.03


def test_the_same_seed_gives_the_same_arrivals_another_one_does_not() -> None:
    first, again, other = (list(islice(arrivals("poisson", 10, seed), 100)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("kind", "rate"), [("uniform", 5.0), ("poisson", 0.0), ("constant", float("nan"))])
def test_unknown_kinds_and_impossible_rates_are_refused(kind: str, rate: float) -> None:
    with pytest.raises(ConfigError):
        arrivals(kind, rate, seed=0)


@pytest.mark.parametrize("burstiness", [0.25, 4.0])
def test_gamma_gaps_have_the_rate_and_the_burstiness(burstiness: float) -> None:
    gaps = np.diff([0.0, *islice(gamma_arrivals(50, burstiness, seed=1), 40_000)])
    assert gaps.mean() == pytest.approx(0.02, rel=0.04)
    assert (gaps.std() / gaps.mean()) ** 2 == pytest.approx(burstiness, rel=0.1)


def test_a_burstiness_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="burstiness must be above 0"):
        arrivals("gamma", 10, 0, burstiness=0)


def test_a_trace_is_replayed_stretched_to_the_rate_and_again_after_a_mean_gap() -> None:
    trace = (0.0, 1.0, 4.0)  # two gaps in 4 s: 0.5 a second
    assert trace_rate(trace) == 0.5
    assert list(islice(repeated(trace, 0.5), 5)) == [0, 1, 4, 6, 7]
    assert list(islice(repeated(trace, 1.0), 4)) == [0, 0.5, 2, 3]
