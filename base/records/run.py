"""The records of a run of `dyno recommend`. Each file that stands alone carries a `schema_version`.

Trial           one candidate: its shape, its load tests, or why it failed
Recommendation  the ranking made from a run's trials

Names carry their unit. An Estimate is never shown without its interval.
"""

from __future__ import annotations

from typing import Annotated, Literal

from modeldyno.base.records.comparison import Comparison, SameMachine
from modeldyno.base.records.compiling import CompileSummary
from modeldyno.base.records.fields import ConfigDict, Field
from modeldyno.base.records.load import (
    PERCENTILES,
    LoadResult,
    RateSearch,
)
from modeldyno.base.records.money import Money
from modeldyno.base.records.ranked_warning import RankedWarning
from modeldyno.base.records.record import (
    HostFacts,
    Record,
)
from modeldyno.base.records.server import Concurrency, ServerLimits
from modeldyno.base.settings import described

Fidelity = Literal["measured", "emulated", "projected"]
LimitMs = Annotated[float | None, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]


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
    baseline_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="burstable types: share of each vCPU that the price pays for all the time",
    )
    surplus_usd_per_vcpu_hour: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="burstable types: price of CPU above the baseline, where it is not held to it",
    )
    credit_mode: Literal["standard", "unlimited"] | None = Field(
        default=None,
        description="burstable types: standard is held to the baseline, unlimited pays for what is above it",
    )
    credit_source: str = Field(default="", description="where the baseline and the surplus price are from")
    assumed: str = Field(
        default="",
        description="columns without a public source, whose values are derived; with spaces between",
    )

    @property
    def baseline_cores(self) -> float | None:
        """Cores that the price pays for all the time; None: all of them, as far as is known."""
        return None if self.baseline_share is None else self.vcpus * self.baseline_share


@described
class ServerSettings(Record, ServerLimits, Concurrency):  # type: ignore[misc] # a Record is frozen too
    """How the model server of a candidate is run."""

    threads: int = Field(gt=0, description="threads inside one inference")

    @property
    def key(self) -> str:
        """What differs between the candidates of a run; what is at its default is left out."""
        names = (("p", self.processes, 1), ("b", self.max_batch, 1), ("d", self.batch_delay_ms, 0))
        more = (f"_{letter}{value:g}" for letter, value, default in names if value != default)
        return f"t{self.threads}_w{self.workers}{''.join(more)}"


class Candidate(Record):
    """One configuration to measure."""

    backend: Literal["onnxruntime", "compiled"]
    instance_type: str
    settings: ServerSettings

    @property
    def key(self) -> str:
        """A name that is unique in a run and safe as a file name."""
        return f"{self.instance_type}_{self.backend}_{self.settings.key}"


class Trial(Record):
    """One candidate, measured or failed. `points` has one load test per load level, in order."""

    schema_version: Literal[1, 2] = 2
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
    warnings: tuple[str, ...] = Field(
        default=(), description="where the candidate was not what its settings say, in words"
    )
    compiled_with: dict[str, str] = Field(
        default_factory=dict,
        description="what was chosen for the artifact, by the job's names; empty for onnxruntime",
    )
    search: RateSearch | None = Field(
        default=None, description="the search for the highest rate; `points` are its load tests"
    )
    measured_as: str = Field(
        default="",
        description="key of the trial that was measured, where this instance type is the same machine here",
    )
    starts: int = Field(default=1, description="servers of it whose load is in `points`")
    weak: tuple[str, ...] = Field(
        default=(), description="why its numbers are less sure than they look, in words: its rounds differ"
    )


class Limits(Record):
    """What a configuration must meet; None is no limit."""

    model_config = ConfigDict(serialize_by_alias=True)

    p50_ms: LimitMs = Field(default=None, description="the highest median latency")
    p90_ms: LimitMs = Field(
        default=None, description="the highest 90th percentile of latency; needs 36 samples"
    )
    p95_ms: LimitMs = Field(
        default=None, description="the highest 95th percentile of latency; needs 72 samples"
    )
    p99_ms: LimitMs = Field(
        default=None, description="the highest 99th percentile of latency; needs 368 samples"
    )
    p99_9_ms: LimitMs = Field(
        default=None,
        alias="p99.9_ms",
        description="the highest 99.9th percentile of latency; needs 3,688 samples",
    )
    error_rate: float | None = Field(
        default=0.01, ge=0, le=1, description="the highest share of requests that fail"
    )
    throughput_rps: float | None = Field(
        default=None, gt=0, description="the least requests a second that are enough"
    )
    usd_per_hour: float | None = Field(
        default=None, gt=0, description="the highest price of the instance type"
    )

    @property
    def latency_ms(self) -> dict[float, float]:
        """The limits of latency that are given, by percentile, 0 to 100."""
        limits = (self.p50_ms, self.p90_ms, self.p95_ms, self.p99_ms, self.p99_9_ms)
        return {at: limit for at, limit in zip(PERCENTILES, limits, strict=True) if limit is not None}


class Row(Record):
    """One line of a recommendation: a candidate at its best load level."""

    rank: int | None = Field(description="1 is best; None in `rejected`")
    tied_with_best: bool = Field(
        default=False, description="it is not told apart from the best one: no winner"
    )
    against_best: float | None = Field(
        default=None, description="its cost over that of the best of the others, from shared rounds"
    )
    against_best_low: float | None = Field(default=None, description="lower end of the 95 % interval")
    against_best_high: float | None = None
    weak: tuple[str, ...] = Field(default=(), description="why its place is less sure, in words")
    instance_type: str
    backend: str
    settings: ServerSettings
    users: int | None = Field(description="load level the row was taken at")
    rate_rps: float | None
    found_rate: bool = Field(
        default=False,
        description="`rate_rps` is the highest found to meet the limits: the throughput is that rate, its "
        "interval goes from a rate that certainly meets them to one that certainly does not",
    )
    undecided: str = Field(
        default="",
        description="why it is not decided whether it meets the limits, or up to which rate: a search that "
        "ended early, void load tests, too few samples; empty: it is",
    )
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
    surplus_usd_per_hour: float = Field(
        default=0.0, description="burstable types: what the measured CPU costs an hour above the baseline"
    )
    held_share: float = Field(
        default=1.0,
        description="burstable types: share of the measured throughput that the baseline sustains; the row's "
        "throughput is that share of it",
    )
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

    @property
    def paid_usd_per_hour(self) -> float:
        """What an hour costs at the CPU that was measured."""
        return self.usd_per_hour + self.surplus_usd_per_hour


class Recommendation(Record):
    """The ranking of a run."""

    schema_version: Literal[1, 2] = 2
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
    comparison: Comparison | None = Field(
        default=None, description="how candidates were told apart; null: one load test after another"
    )
    same_machines: tuple[SameMachine, ...] = Field(
        default=(), description="instance types that are one machine here"
    )
    money: Money | None = Field(
        default=None, description="what a month of the job's traffic costs; null: the job has no traffic"
    )
    warnings: tuple[RankedWarning, ...] = Field(
        default=(), description="what changes how far the answer holds, most important first"
    )
