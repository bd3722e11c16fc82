"""Simulated pairs and rounds: a machine on which some blocks are disturbed, and starts that differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from modeldyno.trials.compare.blocks import Block, Pair
from modeldyno.trials.compare.latencies import Floats, Ints, binned

NORMAL_975 = 1.959964


@dataclass(frozen=True)
class Machine:
    """What the machine adds to the logarithm of a block's figure."""

    block_sd: float = 0.03 / 2**0.5
    """Of a quiet block: 3 % for a pair."""
    disturbed: float = 0.0
    """Share of the blocks that are slower, by a factor between 1 and `worst`."""
    worst: float = 2.0
    start_sd: float = 0.0
    """Of a candidate's start."""


QUIET = Machine()
DISTURBED = Machine(disturbed=0.2)
MACHINES = {"quiet": QUIET, "a fifth of blocks disturbed": DISTURBED}


def block_logs(
    rng: np.random.Generator, machine: Machine, candidates: int, rounds: int, epochs: int
) -> Floats:
    """Log figures of blocks, candidates x rounds, of candidates that do not differ; equal epochs."""
    logs = machine.block_sd * rng.standard_normal((candidates, rounds))
    slower = rng.random(logs.shape) < machine.disturbed
    logs += np.where(slower, np.log(rng.uniform(1, machine.worst, logs.shape)), 0.0)
    starts = machine.start_sd * rng.standard_normal((candidates, epochs))
    found: Floats = logs + starts[:, epoch_numbers(rounds, epochs)]
    return found


def pair_ratios(
    rng: np.random.Generator, machine: Machine, pairs: int, *, true: float = 0.0, epochs: int = 5
) -> Floats:
    """Log ratios of pairs whose candidate is worse by the log ratio `true`."""
    logs = block_logs(rng, machine, 2, pairs, epochs)
    found: Floats = logs[1] - logs[0] + true
    return found


def served_pairs(rng: np.random.Generator, pairs: int, requests: int, ratio: float = 1.0) -> list[Pair]:
    """Pairs of a service of 10 ms: lognormal by 10 %, 1.5 % of requests stall, machine off by 3 % a pair.

    The candidate is slower by the factor `ratio`; each block has so many requests.
    """
    made = []
    for number in range(pairs):
        machine = math.exp(0.03 * rng.standard_normal())
        made.append(
            Pair(
                number,
                *(
                    _served(rng, name, number, requests, scale * machine)
                    for name, scale in (("a", 1.0), ("b", ratio))
                ),
            )
        )
    return made


def _served(rng: np.random.Generator, name: str, number: int, requests: int, scale: float) -> Block:
    stalls = 1 + 0.5 * (rng.random(requests) < 0.015) * rng.exponential(size=requests)
    latency_us = 10_000 * scale * np.exp(0.1 * rng.standard_normal(requests)) * stalls
    return Block(name, number, 0, 0, float(number), float(latency_us.sum()) / 1e6, binned(latency_us))


def epoch_numbers(rounds: int, epochs: int) -> Ints:
    """Which start each round belongs to."""
    return np.arange(rounds) * epochs // rounds


def counted(hits: int, tries: int) -> dict[str, float | int]:
    """A share with its 95 % interval (Wilson, JASA 22, 1927)."""
    share, square = hits / tries, NORMAL_975**2 / tries
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    ends = (max(0.0, centre - half), min(1.0, centre + half))
    return {"share": round(share, 5), "low": round(ends[0], 5), "high": round(ends[1], 5), "tries": tries}
