"""A load test held against limits: Verdict."""

from __future__ import annotations

from typing import Literal

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record

Answer = Literal["met", "missed", "not decided"]


class LimitVerdict(Record):
    """One limit, and what the 95 % interval of the number says of it."""

    name: str = Field(description="p50_ms to p99.9_ms, error_rate or throughput_rps")
    limit: float
    value: float | None = Field(description="as measured; None when the samples are too few to state it")
    low: float | None = Field(description="lower end of its 95 % interval")
    high: float | None = Field(description="upper end; None when no sample is high enough to bound it")
    answer: Answer
    reason: str = Field(description="the numbers in words")


class Verdict(Record):
    """Whether a load test meets all of its limits."""

    answer: Answer = Field(description="missed where one limit certainly is; met where all certainly are")
    reasons: tuple[str, ...] = Field(description="why it is missed, or not decided; empty where it is met")
    limits: tuple[LimitVerdict, ...]
