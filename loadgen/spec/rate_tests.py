"""The load tests of a search for a rate: alike but for their rate, each long enough for the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.spec.limit_names import samples_planned

SPARE = 1.1  # times the planned window: for so long a test may wait for its samples


@dataclass(frozen=True)
class RateTests:
    """What the load tests of a search have in common."""

    spec: LoadSpec
    limits: Mapping[str, float]
    """By name (loadgen.spec.limit_names)."""
    longest_s: float
    """Longest measured window; at least the spec's own duration."""

    @property
    def samples(self) -> int:
        """Requests that one test sends at least, so that each limited percentile can be stated."""
        return samples_planned(self.limits, self.spec.scenario)

    @property
    def least_rps(self) -> float:
        """Below it the longest window is too short for these samples."""
        return self.samples / self.longest_s

    def at(self, rate_rps: float) -> LoadSpec:
        """The load test at one rate."""
        longest_s = SPARE * self.longest_s
        step = {"rate_rps": rate_rps, "min_samples": self.samples, "max_duration_s": longest_s}
        return self.spec.model_copy(update=step)
