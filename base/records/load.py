"""The records of one load test: what was sent (LoadSpec), and what was measured (LoadResult)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from modeldyno.base.records.record import Estimate, HostFacts, Record

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


class Phase(Record):
    """A stretch of a closed loop whose users grow in number, as in SageMaker's PHASES, without its limits."""

    initial_users: int = Field(ge=1, le=10_000, description="users who are there when it begins")
    spawn_per_min: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="users who join them each minute"
    )
    duration_s: float = Field(gt=0, le=86_400, allow_inf_nan=False, description="how long it lasts")


class Stairs(Record):
    """A closed loop that gets more users step by step, as in SageMaker's STAIRS, without its limits."""

    steps: int = Field(ge=1, le=1000, description="how many steps there are")
    users_per_step: int = Field(
        ge=1, le=10_000, description="users who join at each step; the first has them"
    )
    step_s: float = Field(gt=0, le=86_400, allow_inf_nan=False, description="how long each step lasts")


class LoadSpec(Record):
    """What was sent: a closed loop (`users`, `phases`, `stairs` or `shape`) or an open one (`rate_rps`)."""

    url: str
    users: int | None = Field(default=None, description="closed loop: users who wait for each answer")
    phases: tuple[Phase, ...] = Field(default=(), description="closed loop: users that grow in number")
    stairs: Stairs | None = Field(default=None, description="closed loop: more users step by step")
    shape: str = Field(default="", description="closed loop: FILE:CLASS of a LoadTestShape of the user's own")
    stage: str = Field(
        default="", description="which part of a longer test this is, where `users` does not say it"
    )
    rate_rps: float | None = Field(default=None, description="open loop: arrivals a second")
    scenario: Literal["SingleStream", "MultiStream", "Server", "Offline"] | None = Field(
        default=None, description="the MLPerf scenario that the load follows"
    )
    samples_per_query: int = Field(
        default=1,
        ge=1,
        le=64,
        description="requests sent at once, which count as one that ends with the last",
    )
    latency_bound_ms: float | None = Field(
        default=None, gt=0, description="scenario Server: its bound of p99"
    )
    arrival: Literal["constant", "poisson", "gamma", "trace"] = Field(
        default="poisson", description="open loop only"
    )
    burstiness: float = Field(
        default=1.0, gt=0, description="gamma only: squared coefficient of variation of the gaps"
    )
    trace: str = Field(default="", description="trace only: name of the file of arrival times")
    warmup_s: float = Field(default=2.0, ge=0)
    duration_s: float = Field(default=10.0, gt=0, description="the shortest measured window")
    min_samples: int = Field(
        default=0, ge=0, description="the window goes on until so many requests have succeeded"
    )
    max_duration_s: float | None = Field(
        default=None, gt=0, description="the longest window for min_samples; None: duration_s, no longer"
    )
    stop_when: tuple[str, ...] = Field(
        default=(), description="rules that end the test before its time, e.g. p99>50ms"
    )
    timeout_s: float = Field(default=30.0, gt=0, description="a request that takes longer is an error")
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        description="open loop: the most requests in flight, of all processes together; a test that meets it "
        "is void. None: as many as memory and file descriptors allow, at most 10,000",
    )
    seed: int = 0
    content_type: str = "application/x-npy"
    payload_bytes: int = Field(
        default=0, description="size of one request body; of a mix the mean, by weight"
    )

    @property
    def longest_s(self) -> float:
        """Longest that the measured window may last."""
        return max(self.duration_s, self.max_duration_s or 0.0)

    @property
    def staged(self) -> bool:
        """Whether the number of users changes during the test."""
        return bool(self.phases or self.stairs or self.shape)


class ResourceUsage(Record):
    """CPU and memory of a process and its children over the measured window."""

    cpu_cores_mean: float = Field(description="cores kept busy on average, e.g. 1.7")
    memory_mib_max: float = Field(description="highest resident set of the process tree")
    samples: int
    rss_mib_max: float | None = Field(default=None, description="highest sum of resident sets")
    pss_mib_max: float | None = Field(
        default=None, description="highest sum of proportional shares; None: the system does not tell"
    )
    threads_max: int | None = Field(default=None, description="most threads of all processes together")
    voluntary_switches: int | None = Field(default=None, description="threads that gave up their core")
    involuntary_switches: int | None = Field(default=None, description="threads that were taken off it")


class GpuUsage(Record):
    """A GPU of the load generator's machine over the measured window, whoever used it."""

    name: str
    busy_share_mean: float | None = Field(description="share of time in which a kernel ran, 0 to 1")
    memory_mib_max: float | None
    power_w_mean: float | None
    samples: int


class MachineUsage(Record):
    """The load generator's machine over the measured window."""

    core_busy: tuple[float, ...] = Field(description="share of time that each core was busy, 0 to 1")
    other_cores_mean: float = Field(description="cores kept busy by neither server nor generator")
    stolen_share: float = Field(description="of all CPU time: what the hypervisor gave to other machines")
    gpus: tuple[GpuUsage, ...] = ()


class Spread(Record):
    """Times that something took, in milliseconds."""

    samples: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    histogram: str = Field(description="HDR histogram in microseconds, V2 compressed, base64")


class WorkerUsage(Record):
    """One process of the load generator over the measured window, by its own clock."""

    worker: int = Field(description="from 1")
    host: str
    pid: int
    requests: int = Field(description="requests of the window that it sent")
    cpu_cores_mean: float | None = Field(description="of the one core that it can use")
    awake_cores_mean: float | None = Field(
        default=None, description="open loop: the part of it that was kept awake for an arrival that was near"
    )
    lateness: Spread | None = Field(description="open loop: how late it sent")
    loop_lag: Spread | None = Field(description="how late its event loop woke what was due")


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
    steps: tuple[RateStep, ...]
