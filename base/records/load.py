"""What one load test measured: LoadResult."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from modeldyno.base.records.fields import Field
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate, HostFacts, Record
from modeldyno.base.records.usage import MachineUsage, ResourceUsage, Spread, WorkerUsage
from modeldyno.base.records.verdict import Verdict

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


class Percentile(Record):
    """One latency percentile; `ms` is None when the samples are too few to state it."""

    percentile: float = Field(description="0 to 100")
    ms: float | None
    low_ms: float | None = Field(description="lower end of the 95 % confidence interval")
    high_ms: float | None = Field(description="upper end; None when no sample is high enough to bound it")
    effective_samples: int | None = Field(
        default=None, description="independent samples that all of them are worth, for this percentile"
    )


class Outcome(Record):
    """The requests of an endpoint that ended in one way, failed ones too."""

    endpoint: str = Field(description="the URL's path")
    outcome: str = Field(description="HTTP status, or what happened without one: timeout, refused, ...")
    status: int | None = Field(description="HTTP status; None when no answer came")
    count: int
    latency: Spread = Field(description="from the start to the answer, or to the failure")


class ErrorGroup(Record):
    """Requests that failed alike."""

    status: int | None = Field(description="HTTP status; None when no answer came")
    message: str = Field(description="the first such answer, shortened")
    count: int


class PayloadKind(Record):
    """One kind of request body in a mix, and its own latencies over the window."""

    name: str
    share: float = Field(description="its share of the requests, as asked for")
    bodies: int = Field(description="different bodies of this kind, sent one after another")
    bytes_min: int = Field(description="size of the smallest of them")
    bytes_max: int
    samples: int
    errors: int
    mean_ms: float | None
    percentiles: tuple[Percentile, ...]


class Stop(Record):
    """What ended a load test."""

    rule: str = Field(
        description="the stop rule; else duration, min_samples, max_duration, shape or interrupted"
    )
    why: str = Field(default="", description="what was seen, in words")
    at_s: float = Field(
        description="when it was seen, from the start of the test; the window ends a little later"
    )
    looks: int = Field(default=0, description="how often the rules were looked at")


class Scenario(Record):
    """What MLPerf's rules make of a load test that follows one of its scenarios."""

    name: str
    metric: str = Field(description="what `value` is, in words")
    unit: Literal["ms", "samples/s"]
    value: float | None = Field(description="None where the queries are too few to say it")
    queries: int = Field(description="queries of the window, failed ones included")
    needed_queries: int = Field(description="the least that the rules ask for, given what was seen")
    over_latency: int | None = Field(description="Server: queries over the latency bound, or failed")
    discarded: int | None = Field(description="streams: slowest queries that the estimate leaves out")
    duration_met: bool = Field(description="whether it lasted the 600 s that the rules ask for")
    reasons: tuple[str, ...] = Field(description="why the metric does not stand, the duration left aside")

    @property
    def valid(self) -> bool:
        """Whether the rules are met."""
        return self.duration_met and not self.reasons


class TimelinePoint(Record):
    """One second of the run, warm-up included (`warmup` says so)."""

    second: int
    requests: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    warmup: bool
    users: int | None = Field(
        default=None, description="at the end of the second, where their number changes; None: it does not"
    )
    steady: bool | None = Field(
        default=None, description="whether latency had settled; None: never, or unknown"
    )


class LoadResult(Record):
    """What one load test measured; percentiles rest on `samples` successful requests."""

    schema_version: Literal[1] = 1
    started_at: str = Field(description="ISO 8601, UTC")
    spec: LoadSpec
    window_s: float = Field(description="length of the measured window, warm-up left out")
    samples: int = Field(description="successful requests in the window")
    errors: int
    error_rate: float = Field(description="errors / (samples + errors)")
    error_groups: tuple[ErrorGroup, ...] = ()
    outcomes: tuple[Outcome, ...] = Field(
        default=(), description="requests of the window by endpoint and status, with their histograms"
    )
    throughput_rps: Estimate = Field(description="successful requests a second")
    mean_ms: float | None
    min_ms: float | None
    max_ms: float | None
    percentiles: tuple[Percentile, ...]
    held_back: int = Field(
        default=0, description="open loop: requests that waited in the generator for one of its connections"
    )
    sent_percentiles: tuple[Percentile, ...] = Field(
        default=(),
        description="where requests waited for a connection: the percentiles from when each was really sent",
    )
    lateness_p99_ms: float | None = Field(
        default=None, description="open loop: how late the generator itself sent, 99th percentile"
    )
    lateness: Spread | None = Field(default=None, description="open loop: how late the generator itself sent")
    loop_lag: Spread | None = Field(
        default=None, description="how late the generator's event loop woke what was due"
    )
    workers: tuple[WorkerUsage, ...] = Field(default=(), description="each process of the generator")
    steady_from_s: float | None = Field(
        default=None, description="when latency settled, from the start (MSER-5); None: never, or unknown"
    )
    histogram: str = Field(description="HDR histogram of latency in microseconds, V2 compressed, base64")
    timeline: tuple[TimelinePoint, ...] = ()
    payload_kinds: tuple[PayloadKind, ...] = Field(default=(), description="each kind of a mix of payloads")
    scenario: Scenario | None = Field(default=None, description="of a load that follows an MLPerf scenario")
    stop: Stop | None = Field(default=None, description="what ended the test; None for a stage of one")
    cut_short: str = Field(
        default="",
        description="what ended it before its time from outside: Ctrl-C, SIGTERM or SIGHUP; empty: nothing",
    )
    stages: tuple[LoadResult, ...] = Field(
        default=(), description="each phase or step as a result of its own; the fields above are of the whole"
    )
    server: ResourceUsage | None = Field(description="None when the server is on another host")
    generator: ResourceUsage
    machine: MachineUsage | None = Field(
        default=None, description="what else the machine of the generator did; None: not read"
    )
    host: HostFacts
    warnings: tuple[str, ...] = Field(default=(), description="what taints these numbers, in words")
    invalid_reasons: tuple[str, ...] = Field(
        default=(), description="why the load was not the one asked for: the generator could not keep up"
    )
    verdict: Verdict | None = Field(
        default=None, description="what it makes of the limits it was given; None: it was given none"
    )

    @property
    def only_held_back(self) -> bool:
        """Whether all that voids it is the bound on requests in flight: the server got less than asked."""
        return self.held_back > 0 and len(self.invalid_reasons) == 1

    @property
    def valid(self) -> bool:
        """Whether the load was the one asked for; the numbers of one that is not say little of the server."""
        return not self.invalid_reasons

    def percentile_ms(self, percentile: float) -> float | None:
        """Latency at `percentile` (one of PERCENTILES), or None when the samples are too few."""
        for entry in self.percentiles:
            if entry.percentile == percentile:
                return entry.ms
        raise KeyError(percentile)


def standing(points: Iterable[LoadResult]) -> LoadResult | None:
    """Of several load tests at one level give that which stands: the last valid one, else the last.

    A search repeats void tests, and tries the rate it found once more: no choice was made by the last.
    """
    found = list(points)
    return next((point for point in reversed(found) if point.valid), found[-1] if found else None)


class RateStep(Record):
    """One load test of a search for the highest rate."""

    rate_rps: float
    met: bool
    certain: bool = Field(description="the 95 % intervals of the limited percentiles agree")
    reasons: tuple[str, ...] = Field(description="why it did not meet the limits, or is void")
    void: bool = Field(
        default=False, description="the generator spoiled it: it says neither that the rate meets nor misses"
    )
    confirms: bool = Field(default=False, description="it tried the rate that had been found once more")
    figures: dict[str, float | None] = Field(description="each limited number as measured")
    throughput_rps: float
    samples: int


class RateSearch(Record):
    """The highest rate that meets the limits: between `met_rps` and `failed_rps`."""

    schema_version: Literal[1] = 1
    url: str
    limits: dict[str, float]
    met_rps: float | None = Field(description="highest rate that met the limits; None: none did")
    failed_rps: float | None = Field(description="lowest rate above it that did not; None: none was found")
    began: str = Field(default="", description="why it began at the rate of the first step, in words")
    confirmed: bool = Field(
        default=False, description="`met_rps` met the limits in a load test of its own again"
    )
    undecided: str = Field(
        default="", description="why it ended before it was decided, in words; empty: it was decided"
    )
    only_unconfirmed: bool = Field(
        default=False, description="all that is undecided is whether `met_rps` is met again"
    )
    steps: tuple[RateStep, ...]
