"""Blocks and pairs for tests."""

from __future__ import annotations

import numpy as np

from modeldyno.trials.compare.blocks import Block, Pair, Readings
from modeldyno.trials.compare.latencies import binned

QUIET = Readings(foreign_cpu=0.01, steal=0.0, throttled=0.0, frequency=1.0, yardstick=1.0)
BUSY = Readings(foreign_cpu=0.4, steal=0.0, throttled=0.0, frequency=1.0, yardstick=1.0)


def block(
    candidate: str,
    round_: int = 0,
    latencies_us: tuple[int, ...] = (1000,),
    *,
    seconds: float = 1.0,
    cpu_s: float | None = None,
    readings: Readings = QUIET,
) -> Block:
    return Block(
        candidate, round_, 0, 0, float(round_), seconds, binned(latencies_us), cpu_s=cpu_s, readings=readings
    )


def pair(number: int, ours: tuple[int, ...], theirs: tuple[int, ...], **sides: Readings) -> Pair:
    return Pair(
        number,
        block("a", number, ours, readings=sides.get("a", QUIET)),
        block("b", number, theirs, readings=sides.get("b", QUIET)),
    )


def served(rng: np.random.Generator, number: int, ratio: float = 1.0, requests: int = 100) -> Pair:
    """A service of 10 ms with a tail, the candidate slower by `ratio`."""

    def latencies(scale: float) -> tuple[int, ...]:
        stalls = 1 + 0.5 * (rng.random(requests) < 0.015) * rng.exponential(size=requests)
        return tuple((scale * 10_000 * np.exp(0.1 * rng.standard_normal(requests)) * stalls).astype(int))

    return pair(number, latencies(1.0), latencies(ratio))
