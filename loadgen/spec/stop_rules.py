"""When a load test should end before its time: rules in words, and what was measured held against them; pure.

    p99>50ms          a latency threshold, at any percentile
    errors>1%         the share of requests that failed
    requests>=10000   requests that have ended, failed ones included
    p99_width<5%      the percentile's 95 % interval is narrow enough, as a share of the percentile
    flat, flat<2%     more users bring no more throughput (stairs, phases, shapes)

A threshold ends a test in the middle of a stage only when the lower end of the 95 % interval is above it, so
that chance does not; a stage that is over is judged by its value. Throughput is flat when two stages in a
row did not grow: over the best stage before them by less than the stated share (FLAT_SHARE), and not beyond
the noise. The noise of a difference of two rates with intervals is that of MOVER (Zou and Donner, Statistics
in Medicine 27, 2008): growth is beyond it where (b - a) > sqrt((b - b_low)^2 + (a_high - a)^2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load import Percentile
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate
from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.stats.intervals import Ints
from modeldyno.loadgen.stats.summary import percentile_at

FLAT_SHARE = 0.05
FLAT_STAGES = 2
NORMAL_975 = 1.959964
_RULE = re.compile(
    r"(?P<name>p\d{1,2}(?:\.\d+)?(?:_width)?|errors|requests|flat)"
    r"(?:\s*(?P<sign>>=?|<=?)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|s|%)?)?"
)
_MS = {None: 1.0, "us": 1 / US_PER_MS, "ms": 1.0, "s": 1000.0}
_EXAMPLES = "p99>50ms, errors>1%, requests>=10000, p99_width<5% or flat"

Kind = Literal["latency", "errors", "requests", "width", "flat"]


@dataclass(frozen=True)
class Rule:
    """One rule; `bound` in milliseconds, as a share, or a count."""

    text: str
    kind: Kind
    bound: float
    percentile: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """What is known of a window so far; times in microseconds from the start of the test."""

    window_us: tuple[int, int]
    start_us: Ints
    latency_us: Ints
    """Of the successful requests that started in the window."""
    errors: int
    over: bool = False
    """Whether nothing more will start in it."""

    @property
    def requests(self) -> int:
        """Requests that have ended."""
        return len(self.latency_us) + self.errors

    def percentile(self, percent: float) -> Percentile:
        """Give a latency percentile with its interval."""
        return percentile_at(self.start_us, self.latency_us, percent)


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Read rules, each text one or several with commas between them.

    Raises:
        ConfigError: what is no rule, or one that nothing could ever meet.
    """
    return tuple(_rule(part.strip()) for text in texts for part in text.split(","))


def check_rules(spec: LoadSpec) -> None:
    """See that a test can tell whether its rules are met.

    Raises:
        ConfigError: it can't.
    """
    for rule in parse_rules(spec.stop_when):
        if rule.kind == "flat" and not spec.staged:
            raise ConfigError(
                f"{rule.text}: flat needs a number of users that grows: stairs, phases or a shape"
            )
        if rule.kind == "width" and spec.staged:
            raise ConfigError(f"{rule.text}: a width needs a load that stays the same, not stages")


def met(rule: Rule, seen: Evidence) -> str | None:
    """Say why a rule ends the test, with its numbers; None when it does not. Not for flat rules."""
    if rule.kind == "latency":
        return _latency(rule, seen)
    if rule.kind == "errors":
        return _errors(rule, seen)
    if rule.kind == "requests":
        return f"{seen.requests} requests have ended" if seen.requests >= rule.bound else None
    return _width(rule, seen)


def flat(rule: Rule, rates: Sequence[Estimate]) -> str | None:
    """Say why a flat rule ends the test, from the throughput of the stages that are over."""
    if len(rates) <= FLAT_STAGES:
        return None
    for number in range(len(rates) - FLAT_STAGES, len(rates)):
        if grew(rates[number], max(rates[:number], key=lambda rate: rate.value), rule.bound):
            return None
    best = max(rates[:-FLAT_STAGES], key=lambda rate: rate.value)
    last = " and ".join(f"{rate.value:.4g}" for rate in rates[-FLAT_STAGES:])
    return f"{last} requests/s in the last {FLAT_STAGES} stages, {best.value:.4g} before them"


def grew(rate: Estimate, best: Estimate, share: float) -> bool:
    """Whether a throughput is above another by a share of it, or beyond the noise of both."""
    growth = rate.value - best.value
    noise = math.hypot(rate.value - rate.low, best.high - best.value)
    return growth >= share * best.value or growth > noise


def _rule(text: str) -> Rule:
    found = _RULE.fullmatch(text)
    if found is None:
        raise ConfigError(f"stop rule {text!r}: expected {_EXAMPLES}")
    name, sign, number, unit = found.group("name", "sign", "number", "unit")
    bound = float(number) if number else 0.0
    if name == "flat":
        share = _share(bound, unit) if number else FLAT_SHARE
        return _checked(Rule(text, "flat", share), sign in (None, "<", "<=") and 0 < share < 1)
    if name == "errors":
        share = _share(bound, unit)
        return _checked(Rule(text, "errors", share), sign in (">", ">=") and 0 <= share < 1)
    if name == "requests":
        return _checked(Rule(text, "requests", bound), sign == ">=" and unit is None and bound >= 1)
    percent = float(name.removeprefix("p").removesuffix("_width"))
    if name.endswith("_width"):
        share = _share(bound, unit)
        fits = sign in ("<", "<=") and 0 < share < 1 and percent > 0
        return _checked(Rule(text, "width", share, percent), fits)
    fits = sign in (">", ">=") and unit != "%" and bound > 0 and percent > 0
    return _checked(Rule(text, "latency", bound * _MS.get(unit, 1.0), percent), fits)


def _share(bound: float, unit: str | None) -> float:
    """Read a share; one in milliseconds is none."""
    if unit is None:
        return bound
    return bound / 100 if unit == "%" else -1.0


def _checked(rule: Rule, fits: bool) -> Rule:
    if not fits:
        raise ConfigError(f"stop rule {rule.text!r}: expected {_EXAMPLES}")
    return rule


def _latency(rule: Rule, seen: Evidence) -> str | None:
    entry = seen.percentile(rule.percentile)
    judged = entry.ms if seen.over else entry.low_ms
    if entry.ms is None or judged is None or judged <= rule.bound:
        return None
    return f"p{rule.percentile:g} is {entry.ms:.4g} ms ({_interval(entry)})"


def _errors(rule: Rule, seen: Evidence) -> str | None:
    if not seen.errors:
        return None
    share = seen.errors / seen.requests
    low = share_low(seen.errors, seen.requests)
    if (share if seen.over else low) <= rule.bound:
        return None
    return f"{seen.errors} of {seen.requests} requests failed"


def _width(rule: Rule, seen: Evidence) -> str | None:
    entry = seen.percentile(rule.percentile)
    if entry.ms is None or entry.low_ms is None or entry.high_ms is None:
        return None
    if entry.high_ms - entry.low_ms > rule.bound * entry.ms:
        return None
    return f"p{rule.percentile:g} is {entry.ms:.4g} ms ({_interval(entry)})"


def _interval(entry: Percentile) -> str:
    low = "0" if entry.low_ms is None else f"{entry.low_ms:.4g}"
    return f"95 %: {low} to {'unbounded' if entry.high_ms is None else f'{entry.high_ms:.4g}'}"


def share_low(count: int, total: int) -> float:
    """Lower end of the 95 % interval of a share (Wilson, JASA 22, 1927).

    >>> round(share_low(10, 100), 4)
    0.0552
    """
    share, z2 = count / total, NORMAL_975**2
    centre = share + z2 / (2 * total)
    half = NORMAL_975 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, (centre - half) / (1 + z2 / total))
