"""Blocks and pairs: what is measured side by side, and the unit that is judged.

A *block* is one candidate alone under load for a moment. A *round* is one block of each candidate in drawn
order. A *pair* is the blocks of two candidates in one round: whatever the machine did in these seconds, it
did to both, and the coin that drew their order makes their difference as likely to be positive as negative
where the candidates do not differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modeldyno.trials.compare.latencies import Ints


@dataclass(frozen=True)
class Readings:
    """What else the machine did during a block, without servers and generator; None: can't be read here.

    None of it is read off the latencies of the servers: a block may be dropped for these, never for being
    slow.
    """

    foreign_cpu: float | None = None
    """CPU seconds of other processes on the servers' cores, a second of each core."""
    steal: float | None = None
    """Share of the time in which the hypervisor gave the cores to others."""
    throttled: float | None = None
    """Share of the time in which the control group was throttled."""
    frequency: float | None = None
    """Clock of the cores over that before the first block."""
    generator_lag_ms: float | None = None
    """How late the generator was at worst, in milliseconds."""
    yardstick: float | None = None
    """Time of a fixed piece of work beside the block over that before the first block."""
    void_load: float | None = None
    """1 where the load test says of itself that it was not the load asked for; whole tests only."""


@dataclass(frozen=True, eq=False)
class Block:
    """One candidate alone under load; times in seconds."""

    candidate: str
    round: int
    epoch: int
    """Which start of the candidate, from 0."""
    position: int
    """Place in the round, from 0."""
    start_s: float
    """Since the run began."""
    seconds: float
    """From the first request that counts to the end of the last."""
    latency_us: Ints
    """Sorted, of the requests that succeeded, as `latencies.binned` gives them."""
    errors: int = 0
    cpu_s: float | None = None
    """CPU time that the server used for these requests."""
    readings: Readings = Readings()

    @property
    def requests(self) -> int:
        """Requests that succeeded."""
        return len(self.latency_us)

    @cached_property
    def p50_us(self) -> float:
        """Median latency in microseconds."""
        return float(np.median(self.latency_us))

    @property
    def whole(self) -> bool:
        """Whether there is anything to compare: an answer, and time that passed."""
        return self.requests > 0 and self.seconds > 0


@dataclass(frozen=True)
class Pair:
    """The blocks of two candidates in one round."""

    number: int
    """The round: it names the pair's coin in every set of sign vectors, whatever other pairs are dropped."""
    baseline: Block
    candidate: Block

    @property
    def epoch(self) -> int:
        """Which start of the two."""
        return self.candidate.epoch


def pairs_of(blocks: Iterable[Block], baseline: str, candidate: str) -> tuple[Pair, ...]:
    """The rounds in which both have a block with answers, in order."""
    found: dict[int, dict[str, Block]] = {}
    for block in blocks:
        if block.candidate in (baseline, candidate) and block.whole:
            found.setdefault(block.round, {})[block.candidate] = block
    return tuple(
        Pair(number, sides[baseline], sides[candidate])
        for number, sides in sorted(found.items())
        if len(sides) == 2
    )
