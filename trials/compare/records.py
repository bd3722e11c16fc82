"""Blocks as they are written to disk, one record each."""

from __future__ import annotations

from dataclasses import asdict, fields

from pydantic import Field, field_validator

from modeldyno.base.records.record import Record
from modeldyno.trials.compare.blocks import Block, Readings
from modeldyno.trials.compare.latencies import decoded, encoded


class ReadingsRecord(Record):
    """What else the machine did during a block; null: can't be read there."""

    foreign_cpu: float | None = Field(
        default=None, description="CPU seconds of other processes on the servers' cores, per core and second"
    )
    steal: float | None = Field(default=None, description="share of the time that the hypervisor took")
    throttled: float | None = Field(default=None, description="share of the time throttled by the cgroup")
    frequency: float | None = Field(default=None, description="clock over that before the first block")
    generator_lag_ms: float | None = Field(default=None, description="how late the generator was at worst")
    yardstick: float | None = Field(
        default=None, description="time of a fixed piece of work over that before the first block"
    )
    void_load: float | None = Field(
        default=None, description="1 where a whole load test was not the load asked for"
    )


class BlockRecord(Record):
    """One candidate alone under load for a moment."""

    candidate: str
    round: int = Field(ge=0)
    epoch: int = Field(ge=0, description="which start of the candidate, from 0")
    position: int = Field(ge=0, description="place in the round, from 0")
    start_s: float = Field(description="since the run began")
    seconds: float = Field(gt=0, description="first request that counts to the end of the last")
    requests: int = Field(ge=0, description="that succeeded")
    errors: int = Field(default=0, ge=0, description="requests that failed")
    latency: str = Field(
        description="HDR histogram of the latencies in microseconds: V2 compressed, base64; 3 digits"
    )
    cpu_s: float | None = Field(default=None, description="CPU time of the server for these requests")
    readings: ReadingsRecord = ReadingsRecord()

    @field_validator("latency")
    @classmethod
    def _histogram(cls, text: str) -> str:
        decoded(text)
        return text


def block_record(block: Block) -> BlockRecord:
    """For the disk."""
    return BlockRecord(
        **{name: getattr(block, name) for name in _SAME},
        requests=block.requests,
        latency=encoded(block.latency_us),
        readings=ReadingsRecord(**asdict(block.readings)),
    )


def block_of(record: BlockRecord) -> Block:
    """From the disk: the same block, to the last bit."""
    readings = Readings(**record.readings.model_dump())
    same = {name: getattr(record, name) for name in _SAME}
    return Block(**same, latency_us=decoded(record.latency), readings=readings)


_SAME = [field.name for field in fields(Block) if field.name not in ("latency_us", "readings")]
