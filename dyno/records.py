"""The records that rooms exchange as files. Each file that stands alone carries a `schema_version`.

LoadResult      what one load test measured (`dyno load`)
Trial           one candidate: its shape, its load tests, or why it failed (`dyno recommend`)
Recommendation  the ranking made from a run's trials

Names carry their unit. An Estimate is never shown without its interval.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dyno.errors import ConfigError
from dyno.files import write_text

Fidelity = Literal["measured", "emulated", "projected"]
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


class Record(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


R = TypeVar("R", bound=Record)


class TensorSpec(Record):
    """One input or output of a model."""

    name: str
    dtype: str = Field(description="numpy's name, e.g. float32")
    shape: tuple[int | None, ...] = Field(description="None where any size goes")


class HostFacts(Record):
    """The machine that a number was taken on."""

    cpu_model: str
    architecture: str = Field(description="x86_64 or aarch64, as the kernel says")
    logical_cores: int
    usable_cores: int = Field(description="cores that this process may run on (affinity)")
    threads_per_core: int
    cpu_features: tuple[str, ...] = Field(description="extensions that compiled code may use")
    memory_gib: float
    kernel: str
    python: str
    instance_type: str | None = Field(description="the EC2 type the machine says it is, if it says so")
    gpus: tuple[str, ...] = ()
    packages: dict[str, str] = Field(default_factory=dict, description="versions that change a number")


class Estimate(Record):
    """A measured value with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    method: str = Field(description="how the interval was made")


class Percentile(Record):
    """One latency percentile; `ms` is None when the samples are too few to state it."""

    percentile: float = Field(description="0 to 100")
    ms: float | None
    low_ms: float | None = Field(description="lower end of the 95 % confidence interval")
    high_ms: float | None = Field(description="upper end; None when no sample is high enough to bound it")


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

    rule: str = Field(description="the stop rule; else duration, min_samples or shape")
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
    def valid(self) -> bool:
        """Whether the load was the one asked for; the numbers of one that is not say little of the server."""
        return not self.invalid_reasons

    def percentile_ms(self, percentile: float) -> float | None:
        """Latency at `percentile` (one of PERCENTILES), or None when the samples are too few."""
        for entry in self.percentiles:
            if entry.percentile == percentile:
                return entry.ms
        raise KeyError(percentile)


class InstanceType(Record):
    """One row of the instance catalogue."""

    instance_type: str
    family: str = Field(description="the part before the dot, e.g. c7i")
    architecture: Literal["x86_64", "arm64"]
    vcpus: int = Field(gt=0)
    cores: int | None = Field(description="physical cores; None where not published")
    memory_gib: float = Field(gt=0, allow_inf_nan=False)
    cpu_model: str | None
    coremark_per_s: float | None = Field(description="CoreMark iterations a second over all threads")
    gpu: str | None
    gpu_count: int = 0
    usd_per_hour: float = Field(
        ge=0, allow_inf_nan=False, description="on-demand, Linux, us-east-1 unless overridden"
    )
    price_date: str = Field(description="ISO date, or only the year, the price was published")
    price_source: str


class ServerSettings(Record):
    """How the model server of a candidate is run."""

    threads: int = Field(gt=0, description="threads inside one inference")
    workers: int = Field(default=1, gt=0, description="inferences that may run side by side")


class Candidate(Record):
    """One configuration to measure."""

    backend: Literal["onnxruntime", "compiled"]
    instance_type: str
    settings: ServerSettings

    @property
    def key(self) -> str:
        """A name that is unique in a run and safe as a file name."""
        return f"{self.instance_type}_{self.backend}_t{self.settings.threads}_w{self.settings.workers}"


class Trial(Record):
    """One candidate, measured or failed. `points` has one load test per load level, in order."""

    schema_version: Literal[1] = 1
    candidate: Candidate
    instance: InstanceType
    fidelity: Fidelity
    started_at: str
    seconds: float = Field(description="wall clock of the whole trial")
    startup_s: float | None = Field(description="process start to first successful /ping")
    points: tuple[LoadResult, ...] = ()
    failure: str | None = Field(default=None, description="why there is no complete measurement")
    server_log_tail: str = Field(default="", description="last lines of the server, kept when it failed")
    notes: tuple[str, ...] = Field(default=(), description="what the emulation leaves out, in words")


class Limits(Record):
    """What a configuration must meet; None is no limit."""

    p50_ms: float | None = Field(default=None, gt=0)
    p95_ms: float | None = Field(default=None, gt=0)
    p99_ms: float | None = Field(default=None, gt=0)
    error_rate: float | None = Field(default=0.01, ge=0, le=1)
    throughput_rps: float | None = Field(default=None, gt=0, description="the least that is enough")
    usd_per_hour: float | None = Field(default=None, gt=0)


class Row(Record):
    """One line of a recommendation: a candidate at its best load level."""

    rank: int | None = Field(description="1 is best; None in `rejected`")
    tied_with_best: bool = Field(
        default=False, description="its cost interval overlaps the best one's: no winner"
    )
    instance_type: str
    backend: str
    settings: ServerSettings
    users: int | None = Field(description="load level the row was taken at")
    rate_rps: float | None
    stage: str = Field(default="", description="the phase, where `users` does not say the load level")
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p99_low_ms: float | None
    p99_high_ms: float | None
    throughput_rps: float | None
    throughput_low_rps: float | None
    throughput_high_rps: float | None
    error_rate: float | None
    usd_per_hour: float
    usd_per_million: float | None
    usd_per_million_low: float | None
    usd_per_million_high: float | None
    cpu_utilization: float | None = Field(description="share of the instance's vCPUs, 0 to 1")
    memory_mib: float | None
    fidelity: Fidelity
    samples: int
    trial: str = Field(description="key of the trial record")
    reasons: tuple[str, ...] = Field(default=(), description="why it is rejected")
    invalid_reasons: tuple[str, ...] = Field(
        default=(), description="why its load test is void: it ranks behind all that were measured validly"
    )
    warnings: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the load test that the row rests on was the one asked for."""
        return not self.invalid_reasons


class CompileSummary(Record):
    """What the report says about the compiled model."""

    target: str
    seconds: float
    max_abs: float
    max_rel: float
    cosine: float


class Recommendation(Record):
    """The ranking of a run."""

    schema_version: Literal[1] = 1
    model: str = Field(description="the model file's name")
    model_digest: str = Field(description="BLAKE2b of the model file(s)")
    created_at: str
    objective: Literal["usd_per_million"] = "usd_per_million"
    limits: Limits
    host: HostFacts
    compiled: CompileSummary | None = None
    caveats: tuple[str, ...] = Field(
        default=(), description="what the emulation leaves out, by instance type; prices with date and source"
    )
    ranking: tuple[Row, ...]
    rejected: tuple[Row, ...]
    notes: tuple[str, ...] = Field(default=(), description="what else to know of this run, in words")


Port = Annotated[int, Field(ge=0, le=65535)]


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, whole or not at all."""
    write_text(path, record.model_dump_json(indent=2) + "\n")


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record.

    Raises:
        ConfigError: the file is missing, is no JSON, or does not follow the schema of `kind`.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ConfigError(f"{path} is no valid {kind.__name__}: {where}: {first['msg']}") from error
