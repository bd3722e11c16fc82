"""Requests that fail: what the baseline answers and the candidate fails is a regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma

from modeldyno.base.records.gate import GateMetric

ALPHA = 0.01
"""Of the one case that needs chance: both sides fail the same body now and then."""


@dataclass(frozen=True)
class Counts:
    """Requests of one body, and how many of them failed."""

    requests: int
    errors: int

    @property
    def rate(self) -> float:
        """Errors as a share of the requests; 0 of none."""
        return self.errors / self.requests if self.requests else 0.0


def error_metric(
    baseline: Sequence[Counts], candidate: Sequence[Counts], limit: float | None = None
) -> GateMetric:
    """Judge the failed requests of both sides, body by body, in the same order.

    A body that the baseline always answers and the candidate fails is a regression. Where the baseline fails
    it too now and then, the candidate's failures have to be more than chance gives (Fisher's exact test,
    one-sided, 1 % over all bodies). `limit` is how much higher the candidate's error rate may be all the
    same, as a share of the requests; None is 0.
    """
    if len(baseline) != len(candidate):
        raise ValueError(f"{len(baseline)} and {len(candidate)} bodies: expected as many")
    worse = [_is_worse(a, b, ALPHA / len(baseline)) for a, b in zip(baseline, candidate, strict=True)]
    before, now = _sum(baseline), _sum(candidate)
    higher = now.rate - before.rate
    beyond = any(worse) and higher > (limit or 0.0)
    unknown = not before.requests or not now.requests
    return GateMetric(
        metric="error_rate",
        exact=True,
        verdict="regression" if beyond else "inconclusive" if unknown else "pass",
        text=_words(before, now, any(worse), limit, beyond=beyond),
        unit="share",
        baseline=before.rate,
        candidate=now.rate,
        change=higher,
        max_regression=limit,
    )


def _sum(counts: Sequence[Counts]) -> Counts:
    return Counts(sum(each.requests for each in counts), sum(each.errors for each in counts))


def _is_worse(before: Counts, now: Counts, alpha: float) -> bool:
    if not now.errors or not before.requests:
        return False
    return not before.errors or _chance(before, now) <= alpha


def _chance(before: Counts, now: Counts) -> float:
    """Chance that as many or more of all failures fall to the candidate, if both fail alike."""
    failed, of_now, total = before.errors + now.errors, now.requests, before.requests + now.requests
    most = min(failed, of_now)
    return min(1.0, sum(_of_all(k, failed, of_now, total) for k in range(now.errors, most + 1)))


def _of_all(k: int, failed: int, of_now: int, total: int) -> float:
    return exp(_ways(failed, k) + _ways(total - failed, of_now - k) - _ways(total, of_now))


def _ways(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _words(before: Counts, now: Counts, worse: bool, limit: float | None, *, beyond: bool) -> str:
    if not before.requests or not now.requests:
        return "no requests to compare"
    if not before.errors and not now.errors:
        return "no request failed on either side"
    of_baseline = f"{before.errors} of {before.requests} of the baseline"
    counts = f"{now.errors} of {now.requests} requests failed, {of_baseline}"
    if beyond:
        return f"{counts}: it fails what the baseline answers"
    if worse:
        return f"{counts}; within the limit of {100 * (limit or 0):g} %"
    return f"{counts}: no more than chance gives" if now.rate > before.rate else counts
