"""The `load.find_rate` of a job: a search for each candidate's highest rate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modeldyno.base.records.record import Record
from modeldyno.recommender.job.fields import Rate


class FindRate(Record):
    """A search for the highest rate of an open loop that meets the limits."""

    start_rps: Rate | Literal["auto"] = Field(
        default="auto",
        description="requests a second of the first test; auto: half of what a short closed loop answers",
    )
    precision: float = Field(
        default=0.05,
        ge=0.005,
        le=1,
        description="how near the lowest failing rate is to the highest met, as a share of it",
    )
    max_tests: int = Field(
        default=16,
        ge=2,
        le=40,
        description="load tests for one candidate at most, void ones too; then the gap stays wide. The one "
        "that confirms the rate that was found may come on top",
    )
