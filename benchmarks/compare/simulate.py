"""Simulated pairs and rounds: a machine on which some blocks are disturbed, and starts that differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modeldyno.trials.compare.latencies import Floats, Ints


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


def epoch_numbers(rounds: int, epochs: int) -> Ints:
    """Which start each round belongs to."""
    return np.arange(rounds) * epochs // rounds
