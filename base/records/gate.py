"""The record of a gate: a candidate against its baseline, measured side by side. GateRecord stands alone.

Shares are of the baseline's value, above 0 worse: a `change` of 0.05 is 5 % slower, or 5 % fewer requests.
"""

from __future__ import annotations

from typing import Literal

from modeldyno.base.records.fields import Field
from modeldyno.base.records.ranked_warning import RankedWarning
from modeldyno.base.records.record import HostFacts, Record

GateVerdict = Literal["regression", "pass", "improvement", "inconclusive"]
GateWarning = RankedWarning


class GateSide(Record):
    """What stood on one side."""

    reference: str = Field(description="as the user named it")
    kind: Literal["model", "artifact", "server folder", "url", "saved run", "baseline"]
    digest: str = Field(description="BLAKE2b over every file that its server reads, and its settings")
    detail: str = Field(default="", description="what it resolved to, in words")
    starts: int = Field(default=0, description="how many servers of it were measured")
    startup_s: tuple[float, ...] = Field(default=(), description="of each of them, start to first /ping")
    requests: int = Field(default=0, description="that succeeded in the pairs that were judged")
    errors: int = Field(default=0, description="requests that failed")
    memory_mib: float | None = Field(default=None, description="highest resident memory of its server")


class GateMetric(Record):
    """One metric, and what the gate says of it."""

    metric: str = Field(description="p50_ms to p99.9_ms, throughput_rps, cpu_ms_per_request, or an exact one")
    exact: bool = Field(default=False, description="judged by a rule, without statistics")
    verdict: GateVerdict
    text: str = Field(description='in words, e.g. "slower by 3.1 % (2.2 to 4.0), under the limit of 5 %"')
    unit: str = Field(default="ms", description="of `baseline` and `candidate`")
    baseline: float | None = Field(
        default=None, description="median over its blocks; of an exact one its value"
    )
    candidate: float | None = None
    change: float | None = Field(default=None, description="as a share, above 0 worse")
    change_low: float | None = Field(default=None, description="lower end of its interval; null: unbounded")
    change_high: float | None = Field(default=None, description="upper end; null: unbounded")
    confidence: float | None = Field(default=None, description="two-sided, of the interval, e.g. 0.99")
    median_change: float | None = Field(default=None, description="median of the pairs, beside the estimate")
    max_regression: float | None = Field(default=None, description="the limit, as a share")
    ignore_below: float | None = Field(default=None, description="the floor: smaller is no regression")
    pairs: int = Field(default=0, description="that were judged")
    smallest_found: float | None = Field(
        default=None, description="the regression that this run would have found 80 % of the time"
    )
    decided_s: float | None = Field(default=None, description="seconds of measuring until its verdict")


class OutputsCompared(Record):
    """The answers of both sides to the same bodies."""

    bodies: int
    same: bool = Field(description="within the tolerance, as far as they can be compared")
    text: str = Field(description="in words, with the largest difference and its tensor")
    undecided: str = Field(default="", description="what could not be compared, and why; empty: all was")


class KernelChange(Record):
    """A kernel that takes another time on the candidate's side."""

    name: str
    baseline_ms: float | None = Field(description="null: only the candidate has it")
    candidate_ms: float | None = Field(description="null: only the baseline has it")
    share: float = Field(description="of the whole difference, 1 is all of it")


class FieldChange(Record):
    """A manifest field or server setting in which the sides differ."""

    field: str
    baseline: str
    candidate: str


class GateLoad(Record):
    """How both sides were loaded."""

    users: int | None = Field(description="closed loop; null: an open loop")
    rate_rps: float | None = None
    payload: str = Field(description="in words")
    cpus: tuple[int, ...] = Field(default=(), description="of the servers; empty: not pinned, or not here")
    budget_s: float
    alpha: float = Field(description="error of the whole comparison, for regression and pass each")
    seed: int


class GateRecord(Record):
    """What `dyno gate` found. Its blocks lie beside it, in blocks.jsonl."""

    schema_version: Literal[1] = 1
    created_at: str
    verdict: GateVerdict
    exit_code: int
    headline: str = Field(description="the answer in one sentence")
    command: str = Field(default="", description="what repeats it")
    baseline: GateSide
    candidate: GateSide
    load: GateLoad
    metrics: tuple[GateMetric, ...]
    measured: bool = Field(default=True, description="false: equal digests, or only exact rules were asked")
    seconds: float = Field(description="wall clock of the whole gate")
    pairs: int = 0
    pairs_dropped: int = Field(default=0, description="because the machine did something else")
    dropped_for: dict[str, int] = Field(default_factory=dict, description="blocks beyond each taint limit")
    epochs: int = Field(default=0, description="starts of each side")
    between_starts: float | None = Field(
        default=None, description="standard deviation of the log ratio between starts; null: not known"
    )
    warnings: tuple[GateWarning, ...] = Field(default=(), description="most important first")
    outputs: OutputsCompared | None = None
    kernels: tuple[KernelChange, ...] = Field(default=(), description="largest share of the difference first")
    fields: tuple[FieldChange, ...] = Field(default=(), description="where manifests and settings differ")
    histograms: dict[str, str] = Field(
        default_factory=dict,
        description="latencies of `baseline` and `candidate` in the judged pairs: HDR in us, V2, base64",
    )
    host: HostFacts
