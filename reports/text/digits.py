"""Numbers as the page words them: as many digits as the error leaves meaning to, and the unit beside them.

A missing number is an en dash, never 0. Intervals are 95 % confidence intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from modeldyno.base.records.load import Percentile
from modeldyno.base.records.record import Estimate

MISSING = EN_DASH = "\u2013"
TIMES = "\u00d7"
MOST_DECIMALS = 6


@dataclass(frozen=True)
class Shown:
    """A number and its interval as texts; `interval` is empty when there is none."""

    text: str
    interval: str = ""

    @property
    def whole(self) -> str:
        """Both on one line."""
        return f"{self.text} ({self.interval})" if self.interval else self.text


def shown(value: float | None, low: float | None = None, high: float | None = None, unit: str = "") -> Shown:
    """Word `value` with its interval; `unit` is "", "$" (before the number) or anything else (after it).

    >>> shown(31.26, 29.8, None, "ms")
    Shown(text='31 ms', interval='≥ 30')
    """
    if value is None or math.isnan(value):
        return Shown(MISSING)
    if math.isinf(value):
        return Shown(fixed(value, 0))
    low, high = _around(value, low, high)
    digits = decimals(value, low, high)
    text = with_unit(fixed(value, digits), unit)
    if value and _is_zero(value, digits):
        text = f"under {with_unit(fixed(10.0**-digits, digits), unit)}"
    if low == high:  # nothing between them: no interval at all, or one without a width
        return Shown(text)
    return Shown(text, _interval(low, high, digits))


def estimate(found: Estimate, unit: str = "") -> Shown:
    """Word an Estimate."""
    return shown(found.value, found.low, found.high, unit)


def percentile(found: Percentile | None, unit: str = "") -> Shown:
    """Word a latency percentile in milliseconds."""
    if found is None:
        return Shown(MISSING)
    return shown(found.ms, found.low_ms, found.high_ms, unit)


def decimals(value: float, low: float | None, high: float | None) -> int:
    """Decimals that leave one digit of the error, and at least two digits of the value.

    Without an interval: three digits of the value.
    """
    ends = [end for end in (low, high) if end is not None and math.isfinite(end)]
    error = max((abs(value - end) for end in ends), default=0.0) if math.isfinite(value) else 0.0
    if error == 0.0:
        return _clamp(2 - _exponent(value))
    return _clamp(max(-_exponent(error), 1 - _exponent(value)))


def fixed(value: float, digits: int) -> str:
    """Write `value` with `digits` decimals and thousands separators; infinity as its sign."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.{digits}f}"


def with_unit(number: str, unit: str) -> str:
    """Put the unit where readers expect it."""
    if not unit or unit == "$":
        return f"{unit}{number}"
    return f"{number} {unit}"


def plain(value: float | None, unit: str = "") -> str:
    """Word a number that has no interval, with three digits."""
    return shown(value, unit=unit).text


def figures(value: float, number: int = 4) -> str:
    """Word a number with so many digits that mean something, never as a power of ten.

    >>> figures(12345.6), figures(0.98765), figures(200.0)
    ('12,346', '0.9877', '200')
    """
    text = fixed(value, _clamp(number - 1 - _exponent(value)))
    return text.rstrip("0").rstrip(".") if "." in text else text


def whole(value: float | None, unit: str = "") -> str:
    """Word a number without decimals."""
    if value is None or math.isnan(value):
        return MISSING
    return with_unit(fixed(value, 0), unit)


def share(value: float | None) -> str:
    """Word a share of 1 in per cent: whole per cents from 10 on, else two digits.

    >>> share(0.873), share(0.0123), share(0.0)
    ('87 %', '1.2 %', '0 %')
    """
    if value is None or math.isnan(value):
        return MISSING
    per_cent = 100.0 * value
    digits = 0 if value == 0 or per_cent >= 9.95 else _clamp(1 - _exponent(per_cent))
    return f"{fixed(per_cent, digits)} %"


def count(number: int, noun: str, plural: str = "") -> str:
    """Word a counted thing.

    >>> count(1, "user"), count(3, "user")
    ('1 user', '3 users')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _around(value: float, low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """Give an interval that holds its estimate: records of older versions have some that lie beside it."""
    return (None if low is None else min(low, value)), (None if high is None else max(high, value))


def _interval(low: float | None, high: float | None, digits: int) -> str:
    """Word an interval. An end that bounds nothing is left out: no number here can be below 0 by itself."""
    bottomless = low is None or math.isinf(low) or (low >= 0 and _is_zero(low, digits))
    endless = high is None or math.isinf(high)
    if endless:
        return "" if bottomless else f"≥ {fixed(low or 0.0, digits)}"
    top = fixed(high or 0.0, digits)
    if bottomless:
        return "" if _is_zero(high or 0.0, digits) else f"≤ {top}"
    return f"{fixed(low or 0.0, digits)}{EN_DASH}{top}"


def _is_zero(value: float, digits: int) -> bool:
    """Whether nothing but zeros would be printed."""
    return abs(value) < 0.5 * 10.0**-digits


def _exponent(value: float) -> int:
    """Power of ten of the leading digit, after rounding to three digits: 0.0999999 counts as 0.1."""
    if value == 0 or not math.isfinite(value):
        return 2
    return int(f"{value:.2e}".split("e")[1])


def _clamp(digits: int) -> int:
    return min(max(digits, 0), MOST_DECIMALS)
