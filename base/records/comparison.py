"""What rounds of candidates side by side say of each other: part of a recommendation."""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record


class Throughputs(Record):
    """A candidate's throughput over another's, at one load level, from the rounds that both were in."""

    candidate: str = Field(description="key of its trial")
    against: str = Field(description="key of the other's trial")
    users: int
    ratio: float = Field(description="above 1 it answers more requests a second")
    low: float = Field(description="lower end of the 95 % interval; what starts differ by is in it")
    high: float
    rounds: int


class Comparison(Record):
    """How candidates were told apart."""

    rounds: int = Field(description="of the finals; of the screening where there were none")
    starts: int = Field(description="of each finalist")
    screening_rounds: int
    tainted_rounds: int = Field(description="rounds of the finals in which the machine did something else")
    left_out_rounds: int = Field(
        default=0, description="of these, those that do not count; none where too few would be left"
    )
    spread_of_starts: float = Field(
        description="standard deviation of the log ratio of two candidates between starts"
    )
    finalists: tuple[str, ...] = Field(description="keys of the trials that were measured again")
    settling: str = Field(default="", description="what would tell apart those that are not, in words")
    throughputs: tuple[Throughputs, ...] = Field(
        default=(), description="compiled candidates over their uncompiled baseline"
    )
    seconds: float = Field(description="of all rounds")


class SameMachine(Record):
    """Instance types that are one machine here, measured once."""

    name: str = Field(description="the shape, e.g. 2 vCPUs")
    instance_types: tuple[str, ...] = Field(description="the best first, by price over projected speed")
    measured_as: str
    decided: bool = Field(description="whether projection and its error tell the first from the second")
    text: str = Field(description="why in this order, in words")
