"""The whole of a selection: what was measured of whom, and what it may be compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modeldyno.base.records.load import LoadResult
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.standing.generator import StandingGenerator
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.starts import ASSUMED, Spread, between_starts_of_rounds
from modeldyno.trials.compare.taint import TaintLimits
from modeldyno.trials.providers.base import Provider
from modeldyno.trials.rounds.pooled import Around, pooled_result
from modeldyno.trials.rounds.turns import Turns
from modeldyno.trials.selection.alone import Alone, measure_alone, requests_s
from modeldyno.trials.selection.chosen import Chosen, Score, choose, epochs_of, logs_of
from modeldyno.trials.selection.contenders import Contender, Lengths, contender_of, users_of
from modeldyno.trials.selection.ledger import Ledger, Stage
from modeldyno.trials.selection.stages import Stages, Tell


@dataclass(frozen=True)
class Selection:
    """What is selected from, and how."""

    contenders: tuple[Contender, ...]
    provider: Provider
    payload: Mix
    lengths: Lengths
    seed: int
    ledger: Ledger
    score: Score
    """Logarithm of what is to be small, of a cell's block."""
    meets: Callable[[str, LoadResult], bool]
    """Of a contender and a result, whether it may meet the limits."""
    kept: Callable[[str], Alone | None] = lambda _: None
    """What an earlier run saw of a contender alone."""
    keep: Callable[[Alone], None] = lambda _: None
    tell: Tell = lambda *_: None

    def contender(self, key: str) -> Contender:
        """The one of this name."""
        return next(each for each in self.contenders if each.key == key)


@dataclass(frozen=True, eq=False)
class Selected:
    """What was measured."""

    selection: Selection
    alone: Mapping[str, Alone]
    chosen: Chosen | None
    failed: Mapping[str, str] = field(default_factory=dict)
    """Contenders that fell out in the rounds, and why."""
    first_errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def taint(self) -> TaintLimits:
        """By what a block is told to be disturbed."""
        return self.selection.ledger.taint or TaintLimits()

    @property
    def blocks(self) -> Mapping[Stage, Sequence[Block]]:
        """Of each stage."""
        return self.selection.ledger.blocks

    def stage_of(self, cell: str) -> Stage:
        """Where a cell's figures come from: the finals, if it was in them; else the screening."""
        return "finals" if any(block.candidate == cell for block in self.blocks["finals"]) else "screening"

    def blocks_of(self, cell: str) -> list[Block]:
        """The blocks that a cell's figures rest on."""
        return [block for block in self.blocks[self.stage_of(cell)] if block.candidate == cell]

    def spread(self) -> Spread:
        """Between starts, of the finals."""
        finals = self.blocks["finals"]
        if not finals:
            return ASSUMED
        return between_starts_of_rounds(logs_of(finals, self.selection.score), epochs_of(finals), ASSUMED)

    def results(self, key: str) -> tuple[LoadResult, ...]:
        """One a level of a contender, in the order of its levels; levels without an answer are left out."""
        contender, found = self.selection.contender(key), []
        for spec, cell in zip(contender.levels, contender.cells(), strict=True):
            blocks = self.blocks_of(cell.name)
            if any(block.whole for block in blocks):
                found.append(pooled_result(spec, blocks, self._around(key, cell.name, blocks)))
        return tuple(found)

    def _around(self, key: str, cell: str, blocks: Sequence[Block]) -> Around:
        alone = self.alone[key]
        return Around(
            started_at=alone.started_at,
            memory_mib=alone.memory_mib,
            first_error=self.first_errors.get(cell, ""),
            taint=self.taint,
            spread=self.spread(),
            starts=len({block.epoch for block in blocks}),
            screened=self.stage_of(cell) == "screening",
            shared_cores=alone.shared_cores,
        )


def select(selection: Selection) -> Selected:
    """Measure every contender alone, all in a screening, those that can be best in finals.

    What the ledger holds of an earlier run is not measured again. A contender that fails is left out from
    then on; the others go on.

    Raises:
        LoadTestError: the generator has ended. OutputError: the ledger can't be written.
    """
    users = [spec.users or 1 for each in selection.contenders for spec in each.levels]
    selection.ledger.open()
    with StandingGenerator(selection.payload, max(users)) as generator:
        turns = Turns(generator)
        alone = _alone(turns, selection)
        request_s = requests_s(alone)
        if not request_s:
            return Selected(selection, alone, None)
        stages = Stages(
            turns,
            selection.provider,
            {each.key: each for each in selection.contenders},
            selection.lengths,
            selection.seed,
            selection.ledger,
            selection.tell,
            memory_mib={key: each.memory_mib or 0.0 for key, each in alone.items()},
        )
        stages.screening(request_s)
        chosen = _choose(Selected(selection, alone, None, stages.failed, stages.first_errors))
        if chosen.cells:
            stages.finals(chosen.cells, request_s)
    return Selected(selection, alone, chosen, stages.failed, stages.first_errors)


def selected_before(selection: Selection) -> Selected:
    """What an earlier run measured, all of which is kept; starts nothing."""
    selection.ledger.open()
    kept = {each.key: selection.kept(each.key) for each in selection.contenders}
    alone = {key: found for key, found in kept.items() if found is not None}
    so_far = Selected(selection, alone, None)
    return Selected(selection, alone, _choose(so_far) if selection.ledger.all else None)


def _alone(turns: Turns, selection: Selection) -> dict[str, Alone]:
    found = dict[str, Alone]()
    for each in selection.contenders:
        alone = selection.kept(each.key)
        if alone is None:
            selection.tell(f"{each.key} alone", -1.0)
            alone = measure_alone(turns, each, selection.provider, selection.lengths)
            selection.keep(alone)
        found[each.key] = alone
    return found


def _choose(so_far: Selected) -> Chosen:
    selection = so_far.selection
    blocks = selection.ledger.blocks["screening"]
    able = [each for each in selection.contenders if not so_far.alone[each.key].failure]
    results = {(each.key, result.spec.users): result for each in able for result in so_far.results(each.key)}

    def meets(cell: str) -> bool:
        key = contender_of(cell)
        result = results.get((key, users_of(cell)))
        return result is not None and key not in so_far.failed and selection.meets(key, result)

    return choose(blocks, able, selection.score, meets, selection.seed)
