"""A selection at work: each candidate alone, the screening, the finals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import psutil

from modeldyno.base.errors import ServerError
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.trials.compare.plan import FEWEST_PAIRS, round_order, round_seed
from modeldyno.trials.compare.taint import TaintLimits, limits_from
from modeldyno.trials.providers.base import Provider
from modeldyno.trials.rounds.epochs import Start, epoch_of_servers
from modeldyno.trials.rounds.turns import Cell, Place, Turns
from modeldyno.trials.selection.contenders import Contender, Lengths, cell_name, contender_of, users_of
from modeldyno.trials.selection.ledger import Ledger, Stage
from modeldyno.trials.selection.plan import (
    SCREENING_ROUNDS,
    SCREENING_SHARE,
    StagePlan,
    finals_wanted,
    plan_stage,
    with_samples,
)

IDLE_READINGS, IDLE_READING_S = 4, 0.25
FINAL_EPOCHS = 2
REPEATED = 0.5
"""Share of the planned rounds that may be measured again where the machine did something else."""
MEMORY_SHARE = 0.8
"""Of what is available, for servers that are up together."""

Tell = Callable[[str, float], None]
"""Hears what goes on, and about how many seconds of this stage are left."""


@dataclass(eq=False)
class Stages:
    """What both stages have in common."""

    turns: Turns
    provider: Provider
    contenders: Mapping[str, Contender]
    lengths: Lengths
    seed: int
    ledger: Ledger
    tell: Tell
    memory_mib: Mapping[str, float] = field(default_factory=dict)
    """Of each candidate, in a start of its own."""
    failed: dict[str, str] = field(default_factory=dict)
    """Candidates that fell out while they were measured, and why."""
    first_errors: dict[str, str] = field(default_factory=dict)

    def screening(self, request_s: Mapping[str, float]) -> None:
        """Measure every cell in a few rounds."""
        budget_s = SCREENING_SHARE * len(request_s) * self.lengths.duration_s
        plan = plan_stage(request_s, budget_s, SCREENING_ROUNDS, most=SCREENING_ROUNDS)
        self._stage("screening", list(request_s), plan, epochs=1)

    def finals(self, cells: Sequence[str], request_s: Mapping[str, float]) -> None:
        """Measure the finalists' cells in new starts, for the time that is left."""
        chosen = {cell: request_s[cell] for cell in cells}
        budget_s = finals_budget_s(chosen, request_s, self.lengths)
        plan = plan_stage(chosen, budget_s, FEWEST_PAIRS)
        plan = with_samples(plan, self.lengths.min_samples, len(chosen) * self.lengths.longest_s)
        self._stage("finals", list(cells), plan, epochs=FINAL_EPOCHS)

    def _stage(self, stage: Stage, cells: list[str], plan: StagePlan, epochs: int) -> None:
        done = {block.round for block in self.ledger.blocks[stage]}
        left = plan.rounds - len(done)
        if left > 0:
            candidates = len(set(map(contender_of, cells)))
            of = f"{candidates} candidate{'' if candidates == 1 else 's'} at {len(cells)} load levels in all"
            self.tell(f"{stage}: {of}, {left} rounds", plan.seconds * left / plan.rounds)
        for number in range(epochs):
            rounds = left // (epochs - number)
            left -= rounds
            if rounds > 0:
                self._epoch(stage, cells, plan, rounds)

    def _epoch(self, stage: Stage, cells: list[str], plan: StagePlan, rounds: int) -> None:
        able = [cell for cell in cells if contender_of(cell) not in self.failed]
        for together in self._together(able):
            epoch = self.ledger.next_epoch
            with epoch_of_servers(self.turns, self._start(stage, together), epoch) as started:
                for key, why in started.failed.items():
                    self.failed[key] = why
                if self.ledger.taint is None:
                    idle = [self.turns.idle_readings(IDLE_READING_S) for _ in range(IDLE_READINGS)]
                    self.ledger.fix_limits(limits_from(idle))
                self._rounds(stage, together, plan, rounds, epoch)

    def _together(self, cells: list[str]) -> list[list[str]]:
        """Cells whose servers fit into memory at once; each part has the baselines of its candidates."""
        anchors = {key: each.anchor for key, each in self.contenders.items()}
        parts = fitting(cells, self.memory_mib, anchors, MEMORY_SHARE * available_mib())
        if len(parts) > 1:
            self.tell(f"{len(parts)} groups of servers, since all together do not fit into memory", 0.0)
        return parts

    def _start(self, stage: Stage, cells: Sequence[str]) -> Start:
        keys = dict.fromkeys(map(contender_of, cells))
        warmup = BlockOrder(
            url="",
            requests=1,
            shortest_s=max(0.1, self.lengths.warmup_s / max(1, len(cells) // len(keys))),
            longest_s=max(1.0, self.lengths.warmup_s) + 10.0,
            dropped=1,
            timeout_s=self.lengths.timeout_s,
        )
        orders = {key: replace(self.contenders[key].order, capped=False) for key in keys}
        every = [Cell(cell, contender_of(cell), users_of(cell)) for cell in cells]
        tell = self.tell
        return Start(
            self.provider,
            orders,
            every,
            warmup,
            self.seed,
            lambda key: tell(f"{stage}: starting {key}", -1.0),
        )

    def _rounds(self, stage: Stage, cells: list[str], plan: StagePlan, rounds: int, epoch: int) -> None:
        """So many rounds; in the finals more, where the machine did something else in some of them."""
        most = rounds + (int(REPEATED * rounds) if stage == "finals" else 0)
        taken = clean = 0
        while taken < rounds or (clean < rounds and taken < most):
            clean += self._round(stage, cells, plan, epoch)
            taken += 1
            self.tell(stage, -1.0)

    def _round(self, stage: Stage, cells: list[str], plan: StagePlan, epoch: int) -> bool:
        """One block of each cell, in drawn order; says whether the machine left all of them alone."""
        number, clean, limits = self.ledger.next_round, True, self.ledger.taint or TaintLimits()
        order = BlockOrder(
            url="",
            requests=plan.requests,
            shortest_s=plan.block_s,
            longest_s=max(30.0, self.lengths.longest_s),
            dropped=plan.dropped,
            timeout_s=self.lengths.timeout_s,
            seed=round_seed(number, self.seed),
        )
        able = tuple(cell for cell in cells if contender_of(cell) not in self.failed)
        for position, cell in enumerate(round_order(able, number, self.seed)):
            key = contender_of(cell)
            if key in self.failed:
                continue
            try:
                taken = self.turns.take(
                    Cell(cell, key, users_of(cell)), order, Place(number, epoch, position)
                )
            except ServerError as error:
                self.failed[key] = str(error)
                continue
            if taken.first_error:
                self.first_errors.setdefault(cell, taken.first_error)
            if taken.block.seconds > 0:
                self.ledger.add(stage, taken.block)
            clean = clean and not limits.exceeded(taken.block.readings)
        return clean


def available_mib() -> float:
    """Memory that is free here, or can be made so."""
    return psutil.virtual_memory().available / BYTES_PER_MIB


def fitting(
    cells: Sequence[str], memory_mib: Mapping[str, float], anchors: Mapping[str, str], room_mib: float
) -> list[list[str]]:
    """Cut the cells into parts whose servers need no more than `room_mib` together; pure.

    A cell of a baseline is in every part that has a candidate compared with it. One server alone may need
    more than there is room for: then it is up alone.
    """
    parts = list[list[str]]()
    for cell in cells:
        key = contender_of(cell)
        if (
            parts
            and _mib({*map(contender_of, parts[-1]), key, anchors.get(key, key)}, memory_mib) <= room_mib
        ):
            parts[-1].append(cell)
        else:
            parts.append([cell])
    if len(parts) < 2:
        return parts
    return [_with_anchors(part, cells, anchors) for part in parts]


def _with_anchors(part: Sequence[str], cells: Sequence[str], anchors: Mapping[str, str]) -> list[str]:
    wanted = {cell_name(anchors[contender_of(cell)], users_of(cell)) for cell in part}
    return list(dict.fromkeys([*part, *(cell for cell in cells if cell in wanted)]))


def _mib(keys: Iterable[str], memory_mib: Mapping[str, float]) -> float:
    return sum(memory_mib.get(key, 0.0) for key in keys)


def finals_budget_s(chosen: Mapping[str, float], every: Mapping[str, float], lengths: Lengths) -> float:
    """Seconds of the finals: what the screening left of all cells' time, within what each may have."""
    left_s = (1 - SCREENING_SHARE) * len(every) * lengths.duration_s
    return finals_wanted(chosen, left_s, lengths.min_samples, lengths.longest_s)
