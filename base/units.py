"""Conversions between the units that the field's names carry."""

from __future__ import annotations

US_PER_MS = 1000.0
SECONDS_PER_HOUR = 3600.0
BYTES_PER_MIB = 2**20
BYTES_PER_GIB = 2**30


def usd_per_million(usd_per_hour: float, throughput_rps: float) -> float:
    """Price of a million requests on a machine kept busy at `throughput_rps` requests a second.

    >>> round(usd_per_million(0.36, 100.0), 9)
    1.0
    """
    if throughput_rps <= 0:
        return float("inf")
    return usd_per_hour / (throughput_rps * SECONDS_PER_HOUR) * 1_000_000


def short_duration(seconds: float) -> str:
    """Word a duration for a person: `8.2s`, `3m05s`, `1h02m`.

    >>> short_duration(185)
    '3m05s'
    """
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def percent(share: float) -> str:
    """Word a share of 0 to 1; what is not all is never rounded to 100 %."""
    return f"{min(share, 0.999) if share < 1 else share:.1%}"
