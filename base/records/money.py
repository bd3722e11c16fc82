"""The records of what a month costs: traffic, instances, patterns. All dollars are USD."""

from __future__ import annotations

from typing import Literal

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record

PatternName = Literal[
    "real-time",
    "serverless",
    "provisioned concurrency",
    "asynchronous",
    "batch",
    "Lambda x86",
    "Lambda arm",
]


class TrafficFacts(Record):
    """The traffic that a month is priced for, `growth` applied."""

    hourly_rps: tuple[float, ...] = Field(description="highest requests a second in each hour that was given")
    mean_rps: float
    peak_rps: float
    requests_per_month: float = Field(description="mean_rps times the seconds of a month")
    month_hours: float = 730.0
    headroom: float = Field(description="share of the traffic that instances are there for on top")
    spare: int = Field(description="instances on top, so that one may fail")
    text: str = Field(description="what was asked for, in words")


class FleetCost(Record):
    """So many instances of one type over a month."""

    most: int = Field(description="instances in the busiest hour, spare ones included")
    least: int
    mean: float = Field(description="instances on average over the month")
    usd_per_month: float
    surplus_usd_per_month: float = Field(
        default=0.0, description="of usd_per_month: what burstable types cost above their baseline"
    )
    usd_per_million: float = Field(description="at this traffic: usd_per_month over the requests of a month")
    idle_share: float = Field(description="share of what the instances could serve that is not asked for")


class CandidateCost(Record):
    """One row of the ranking at this traffic."""

    trial: str
    instance_type: str
    backend: str
    capacity_rps: float = Field(description="highest requests a second of one instance under the limits")
    usd_per_hour: float = Field(description="list price of one instance, or the user's")
    price: str = Field(description="source and date of the price")
    fixed: FleetCost = Field(description="as many instances all the time as the busiest hour needs")
    scaled: FleetCost = Field(description="as many in each hour as it needs, without delay")


class Choice(Record):
    """What would be chosen if something were different."""

    what: str = Field(description="e.g. `price of c7a.large +20 %`, `traffic x 2`")
    trial: str | None = Field(description="None: nothing that was measured meets the limits then")
    text: str = Field(description="`3 x c7a.large compiled, $201.48 a month`")
    changed: bool = Field(description="whether that is another candidate than the answer's")


class Mix(Record):
    """Two instance types: some of one all the time, some of another by the hour."""

    base_trial: str
    base_instances: int = Field(description="spare ones included, where the base is what they are of")
    peak_trial: str
    peak_most: int
    usd_per_month: float
    saving: float = Field(description="share that it is cheaper than the best single type scaled by the hour")
    text: str


class Pattern(Record):
    """One way to serve the traffic."""

    pattern: PatternName
    usd_per_month: float | None = Field(description="None: a price is not known, `text` says which")
    usd_per_million: float | None
    crossover_rps: float | None = Field(
        default=None, description="steady requests a second above which one instance is cheaper"
    )
    cold_share: tuple[float, ...] = Field(
        default=(), description="share of requests that wait for a start, if one is kept 1, 5 and 15 minutes"
    )
    added_latency_s: float | None = Field(
        default=None, description="what the slowest requests wait on top: a start, or the next batch"
    )
    text: str
    assumed: tuple[str, ...] = Field(default=(), description="numbers that nobody measured or published")


class Replay(Record):
    """A scaling policy replayed over the traffic, beside a scaler that knows the future."""

    policy: str
    late_share: float = Field(description="share of requests over the limit on latency, or not answered")
    usd_per_month: float
    most: int
    actions: int = Field(description="changes of the number of instances in the replayed time")
    perfect_usd_per_month: float
    perfect_most: int
    text: str
    assumed: tuple[str, ...] = ()


class Money(Record):
    """What the measured candidates cost at the job's traffic."""

    traffic: TrafficFacts
    answer: str = Field(description="`3 x c7a.large compiled, $201.48 a month`, and what it rests on")
    best: str | None = Field(description="trial of the answer; None: nothing meets the limits")
    candidates: tuple[CandidateCost, ...] = Field(default=(), description="the cheapest first")
    flips_below_rps: float | None = Field(
        default=None, description="peak traffic at and below which another candidate is the cheapest"
    )
    flips_above_rps: float | None = Field(
        default=None, description="peak traffic above which another is the cheapest"
    )
    flips: tuple[Choice, ...] = Field(
        default=(), description="what would be chosen at other prices, traffic, limits"
    )
    mix: Mix | None = Field(default=None, description="two types, where they are at least 5 % cheaper")
    patterns: tuple[Pattern, ...] = ()
    replays: tuple[Replay, ...] = ()
    assumed: tuple[str, ...] = Field(default=(), description="what the figures rest on that nobody measured")
    notes: tuple[str, ...] = ()
