"""The traffic of a job as a month that can be priced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from modeldyno.base.records.money import TrafficFacts
from modeldyno.base.units import SECONDS_PER_HOUR
from modeldyno.recommender.job.traffic_section import DAY_ENDS, DAY_STARTS, Traffic
from modeldyno.recommender.money.recorded import MINUTE_S, Recorded, read_trace

MONTH_HOURS = 730.0
"""A year of 365 days has 8,760 hours: a twelfth."""
SECONDS_PER_MONTH = MONTH_HOURS * SECONDS_PER_HOUR
MINUTES_PER_HOUR = 60


@dataclass(frozen=True)
class Demand:
    """Requests a second over a span that a month repeats."""

    peaks_rps: tuple[float, ...]
    """The highest of each hour: what instances are counted by."""
    means_rps: tuple[float, ...]
    """The mean of each hour: what is asked for in all."""
    minutes_rps: tuple[float, ...]
    """The mean of each minute: what a scaler sees."""
    headroom: float
    spare: int
    text: str
    notes: tuple[str, ...] = ()

    @cached_property
    def mean_rps(self) -> float:
        """Over the whole span."""
        return sum(self.means_rps) / len(self.means_rps)

    @cached_property
    def peak_rps(self) -> float:
        """Of the busiest hour."""
        return max(self.peaks_rps)

    @property
    def requests_per_month(self) -> float:
        """At the mean rate, over 730 hours."""
        return self.mean_rps * SECONDS_PER_MONTH

    def times(self, factor: float) -> Demand:
        """As much more of it."""
        peaks, means, minutes = (
            tuple(factor * rate for rate in each)
            for each in (self.peaks_rps, self.means_rps, self.minutes_rps)
        )
        return replace(self, peaks_rps=peaks, means_rps=means, minutes_rps=minutes)

    def facts(self) -> TrafficFacts:
        """As a record."""
        return TrafficFacts(
            hourly_rps=self.peaks_rps,
            mean_rps=self.mean_rps,
            peak_rps=self.peak_rps,
            requests_per_month=self.requests_per_month,
            month_hours=MONTH_HOURS,
            headroom=self.headroom,
            spare=self.spare,
            text=self.text,
        )


def demand(traffic: Traffic) -> Demand:
    """Read what a job says of its traffic; a trace is read from its file.

    Raises:
        ConfigError: the trace can't be read.
    """
    if traffic.trace is not None:
        recorded = read_trace(traffic.trace)
        found = _recorded(recorded, traffic, f"the trace {traffic.trace.name}")
    else:
        found = steady_hours(traffic.hourly, traffic.headroom, traffic.spare, _words(traffic))
    return found.times(traffic.growth) if traffic.growth != 1 else found


def steady_hours(hourly: Sequence[float], headroom: float, spare: int, text: str = "") -> Demand:
    """Traffic that is the same within each hour."""
    rates = tuple(map(float, hourly))
    minutes = tuple(rate for rate in rates for _ in range(MINUTES_PER_HOUR))
    return Demand(rates, rates, minutes, headroom, spare, text)


def _recorded(recorded: Recorded, traffic: Traffic, name: str) -> Demand:
    minutes = tuple(count / MINUTE_S for count in recorded.per_minute)
    hours = [minutes[at : at + MINUTES_PER_HOUR] for at in range(0, len(minutes), MINUTES_PER_HOUR)]
    notes = list(recorded.notes)
    if len(hours) > 1 and len(hours[-1]) < MINUTES_PER_HOUR:
        notes.append(f"{name} ends within an hour: its last {len(hours[-1])} minutes are left out")
        hours.pop()
    notes.append(f"a month is taken to repeat the {len(hours)} h of {name}")
    kept = tuple(rate for hour in hours for rate in hour)
    return Demand(
        tuple(max(hour) for hour in hours),
        tuple(sum(hour) / len(hour) for hour in hours),
        kept,
        traffic.headroom,
        traffic.spare,
        f"{name}{_grown(traffic)}",
        tuple(notes),
    )


def _words(traffic: Traffic) -> str:
    if traffic.rate_rps is not None:
        text = f"{traffic.rate_rps:g} requests/s all day"
    elif traffic.day is not None:
        text = (
            f"{traffic.day:g} requests/s by day ({DAY_STARTS} to {DAY_ENDS} o'clock), "
            f"{traffic.night:g} by night"
        )
    else:
        text = "a curve of 24 hours"
    return f"{text}{_grown(traffic)}"


def _grown(traffic: Traffic) -> str:
    return f", times {traffic.growth:g}" if traffic.growth != 1 else ""
