"""What a load test sends: LoadSpec, with the shapes of a closed loop's load."""

from __future__ import annotations

from typing import Literal

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record


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
    follow_redirects: bool = Field(default=False, description="send the request again where one leads")
    expect_status: tuple[int, ...] = Field(
        default=(), description="statuses that count as success; none: each 2xx"
    )
    expect_json: tuple[str, ...] = Field(
        default=(), description="PATH=VALUE that an answer's JSON must have, or it is an error"
    )
    expect_body: str = Field(default="", description="text that an answer must hold, or it is an error")
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
