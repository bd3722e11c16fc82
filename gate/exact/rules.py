"""Exact rules: a share of the baseline's value that may not be passed. No statistics, and no share of alpha.

What is not limited is shown. Parity alone is a regression by itself where it is not within its tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.base.records.gate import GateMetric, GateVerdict
from modeldyno.gate.exact.facts import Facts, ParityFacts


@dataclass(frozen=True)
class Rule:
    """What a number is called in words, its unit, and whether a larger one is worse."""

    words: str
    unit: str
    larger_is_worse: bool


RULES: Mapping[str, Rule] = {
    "artifact_bytes": Rule("code and weights", "bytes", larger_is_worse=True),
    "compiled_share": Rule("share of operators compiled", "share", larger_is_worse=False),
    "compiled_flops_share": Rule("share of operations compiled", "share", larger_is_worse=False),
    "fallback_operators": Rule("operators not compiled", "operators", larger_is_worse=True),
    "parity_max_rel": Rule("largest difference from the source model", "share", larger_is_worse=True),
}
_SLACK = 1e-12  # of the division
NOT_LIMITED = "shown, not limited"


def exact_metrics(baseline: Facts, candidate: Facts, limits: Mapping[str, float]) -> tuple[GateMetric, ...]:
    """Judge each number that the candidate has.

    `limits` are shares of the baseline's value, by the names of RULES: 0 lets nothing get worse.

    Raises:
        ConfigError: a limit of an unknown name, below 0, or of a number that a side does not have.
    """
    for name, limit in limits.items():
        _check(name, limit, baseline, candidate)
    return tuple(_judged(baseline, candidate, limits))


def _check(name: str, limit: float, baseline: Facts, candidate: Facts) -> None:
    if name not in RULES:
        raise ConfigError(unknown_name("exact metric", name, RULES), field="max_regression")
    if not limit >= 0:
        raise ConfigError(f"`max_regression` {name}={limit:g}: expected 0 or more", field="max_regression")
    for side, facts in (("baseline", baseline), ("candidate", candidate)):
        if name != "parity_max_rel" and _values(facts)[name] is None:
            raise ConfigError(
                f"`max_regression` {name}: the {side} has no {RULES[name].words}: compiled artifacts have it",
                field="max_regression",
            )


def _values(facts: Facts) -> dict[str, float | None]:
    return {
        "artifact_bytes": facts.bytes,
        "compiled_share": facts.compiled_share,
        "compiled_flops_share": facts.compiled_flops_share,
        "fallback_operators": facts.fallback_operators,
        "parity_max_rel": facts.parity.max_rel if facts.parity else None,
    }


def _judged(baseline: Facts, candidate: Facts, limits: Mapping[str, float]) -> Iterator[GateMetric]:
    before, now = _values(baseline), _values(candidate)
    for name in RULES:
        if name == "parity_max_rel":
            if candidate.parity is not None:
                yield _of_parity(before[name], candidate.parity, limits.get(name))
        elif now[name] is not None:
            yield _metric(name, before[name], now[name], limits.get(name))


def _metric(name: str, before: float | None, now: float | None, limit: float | None) -> GateMetric:
    change = _change(name, before, now)
    worse = before is not None and now is not None and _is_worse(name, before, now)
    beyond = limit is not None and worse and (change is None or change > limit + _SLACK)
    return GateMetric(
        metric=name,
        exact=True,
        verdict="regression" if beyond else "pass",
        text=f"{_words(name, before, now)}; {_of_limit(limit, beyond=beyond)}",
        unit=RULES[name].unit,
        baseline=before,
        candidate=now,
        change=change,
        max_regression=limit,
    )


def _of_parity(before: float | None, parity: ParityFacts, limit: float | None) -> GateMetric:
    found = _metric("parity_max_rel", before, parity.max_rel, limit)
    if parity.within is False:
        verdict: GateVerdict = "regression"
        text = (
            f"outputs differ from the source model's by {parity.max_rel:.2g}, beyond what its check accepts"
        )
    elif parity.within is None:
        verdict = "pass" if limit is None else "inconclusive"
        text = parity.words
    else:
        verdict, text = found.verdict, f"{found.text}; within its check's {parity.words}"
    return found.model_copy(update={"verdict": verdict, "text": text})


def _change(name: str, before: float | None, now: float | None) -> float | None:
    """Give the change as a share of the baseline's value, above 0 worse; None where that has no share."""
    if before is None or now is None:
        return None
    if before == now:
        return 0.0
    if not before:
        return None
    share = (now - before) / before
    return share if RULES[name].larger_is_worse else -share


def _is_worse(name: str, before: float, now: float) -> bool:
    return now > before if RULES[name].larger_is_worse else now < before


def _words(name: str, before: float | None, now: float | None) -> str:
    rule = RULES[name]
    if before is None or now is None or before == now:
        same = " on both sides" if before == now else ""
        return f"{rule.words}: {_number(now, rule.unit)}{same}"
    return f"{rule.words}: {_number(before, rule.unit)} to {_number(now, rule.unit)}"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit == "bytes":
        return f"{value / 1e6:.3f} MB" if value >= 1e5 else f"{value:.0f} bytes"
    return f"{value:.4g}"


def _of_limit(limit: float | None, *, beyond: bool) -> str:
    if limit is None:
        return NOT_LIMITED
    return f"{'over' if beyond else 'within'} the limit of {100 * limit:g} %"
