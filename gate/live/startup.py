"""Start-up time, only where it is asked for: eight starts of each side, in pairs of drawn order, by ranks.

A start is from the command to the first /ping that is answered. Starts are few and skewed, so the test is
that of ranks, exact over all ways to deal 16 starts to two sides (Wilcoxon, Biometrics Bulletin 1, 1945; Mann
and Whitney, Annals of Mathematical Statistics 18, 1947); the estimate is the median of all ratios of two
starts, its interval the inversion of the test (Hodges and Lehmann, same journal 34, 1963).
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ServerError
from modeldyno.base.records.gate import GateMetric, GateVerdict
from modeldyno.gate.limits import STARTUP
from modeldyno.gate.live.rounds import BASELINE, CANDIDATE, SIDES
from modeldyno.gate.live.setting import Setting
from modeldyno.trials.compare.looks.sequential import Limit
from modeldyno.trials.compare.looks.words import difference
from modeldyno.trials.compare.plan import start_order

STARTS = 8
_STREAM = 1_000_000
"""Numbers of these starts, so that their order hangs on no epoch's."""
_TIE = 1e-12
Floats = npt.NDArray[np.float64]


def startup_metric(
    where: Setting, limit: Limit, alpha: float, seed: int, tell: Callable[[str], None]
) -> GateMetric:
    """Start both sides eight times each, alone, and judge what that takes.

    Raises:
        ServerError: a side does not come up.
    """
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(STARTS):
        for side in start_order(SIDES, _STREAM + number, seed):
            tell(f"start {number + 1} of {STARTS}: the {side}")
            order = where.orders[side]
            order = replace(order, log=order.log.with_name(f"{side}-start.log"))
            try:
                with where.provider.deploy(order) as deployment:
                    seconds[side].append(deployment.startup_s)
            except ServerError as error:
                raise ServerError(f"the {side}: {error}") from error
    return judged_starts(seconds, limit, alpha)


def judged_starts(seconds: Mapping[str, Sequence[float]], limit: Limit, alpha: float) -> GateMetric:
    """Judge the seconds of each start of both sides."""
    found = _Ranks(np.log(seconds[BASELINE]), np.log(seconds[CANDIDATE]))
    estimate, ends = found.estimate, found.ends(alpha)
    verdict: GateVerdict = "inconclusive"
    if found.p_less(0.0) <= alpha and estimate <= np.log1p(-limit.floor):
        verdict = "improvement"
    elif found.p_less(float(np.log1p(limit.regression))) <= alpha:
        verdict = "pass"
    elif found.p_more(0.0) <= alpha and estimate >= np.log1p(limit.floor):
        verdict = "regression"
    said = {"pass": "under", "regression": "against", "inconclusive": "not decided at"}.get(verdict)
    against = f", {said} the limit of {100 * limit.regression:.3g} %" if said else ""
    return GateMetric(
        metric=STARTUP,
        verdict=verdict,
        text=f"{difference(STARTUP, estimate, ends)}{against}; {len(seconds[BASELINE])} starts of each side",
        unit="s",
        baseline=statistics.median(seconds[BASELINE]),
        candidate=statistics.median(seconds[CANDIDATE]),
        change=float(np.expm1(estimate)),
        change_low=float(np.expm1(ends[0])),
        change_high=float(np.expm1(ends[1])),
        confidence=1 - 2 * alpha,
        max_regression=limit.regression,
        ignore_below=limit.floor,
        pairs=len(seconds[BASELINE]),
    )


@dataclass(frozen=True, eq=False)
class _Ranks:
    """Logarithms of both sides."""

    ours: Floats
    theirs: Floats

    @property
    def ratios(self) -> Floats:
        """All log ratios of a candidate's start to a baseline's, ascending."""
        found: Floats = np.sort((self.theirs[:, None] - self.ours).ravel())
        return found

    @property
    def estimate(self) -> float:
        return float(np.median(self.ratios))

    def p_more(self, log_ratio: float) -> float:
        """One-sided p-value of the candidate taking longer by more than this ratio."""
        return self._p(self.theirs - log_ratio, self.ours)

    def p_less(self, log_ratio: float) -> float:
        """One-sided p-value of it taking longer by less."""
        return self._p(self.ours, self.theirs - log_ratio)

    def ends(self, alpha: float) -> tuple[float, float]:
        """The ratios that are rejected on neither side, as far as the ratios of two starts go."""
        ratios = self.ratios
        # p_more grows along the ratios, p_less falls.
        low = bisect_left(ratios, True, key=lambda each: self.p_more(float(each) - _TIE) > alpha)
        high = bisect_left(ratios, True, key=lambda each: self.p_less(float(each) + _TIE) <= alpha) - 1
        return float(ratios[low]), float(ratios[high])

    def _p(self, more: Floats, less: Floats) -> float:
        """How often ranks dealt at random give `more` as large a sum."""
        both = np.concatenate([more, less])
        _, inverse, counts = np.unique(np.round(both, 12), return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
        dealt = ranks[_deals(len(both), len(more))].sum(axis=1)
        return float(np.mean(dealt >= ranks[: len(more)].sum() - 1e-9))


@cache
def _deals(number: int, some: int) -> npt.NDArray[np.int64]:
    return np.array(list(combinations(range(number), some)), np.int64)
