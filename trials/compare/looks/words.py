"""What a look says of a metric, in one sentence; pure. Sentence and verdict come from the same interval."""

from __future__ import annotations

import math

from modeldyno.trials.compare.looks.sequential import Limit, MetricLook
from modeldyno.trials.compare.metrics import CPU, THROUGHPUT, worse_share

_WORDS = {THROUGHPUT: ("less", "more"), CPU: ("more", "less")}
_SLOWER = ("slower", "faster")


def sentence(metric: str, each: MetricLook, limit: Limit) -> str:
    """Like "slower by 3.1 % (2.2 to 4.0), under the limit of 5 %"."""
    return difference(metric, each.estimate, each.ends) + _against(each, limit)


def difference(metric: str, estimate: float, ends: tuple[float, float]) -> str:
    """Like "slower by 3.1 % (2.2 to 4.0)", of an estimate and its interval as log ratios, above 0 worse."""
    shares = [100 * worse_share(metric, log) for log in (estimate, *ends)]
    worse = shares[0] >= 0
    # Of a candidate that is better the signs are turned, and with them the ends.
    value, low, high = shares if worse else (-shares[0], -shares[2], -shares[1])
    words = _WORDS.get(metric, _SLOWER)
    span = f"{_rounded(low)} to {_rounded(high)}"
    if any(math.isinf(end) for end in ends):
        span = "too few pairs for an interval"
    return f"{words[0] if worse else words[1]} by {value:.1f} % ({span})"


def _rounded(percent: float) -> str:
    # "-0.0" is 0.0, too.
    return f"{round(percent, 1) + 0.0:.1f}"


def _against(each: MetricLook, limit: Limit) -> str:
    most = f"{100 * limit.regression:.3g} %"
    match each.verdict:
        case "pass":
            return f", under the limit of {most}"
        case "regression" if each.estimate < each.limit:
            return f", not shown to be under the limit of {most}"
        case "regression":
            return f", over the limit of {most}"
        case "improvement":
            return ""
        case _:
            return f", not decided at the limit of {most}"
