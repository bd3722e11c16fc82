"""Rows of candidates that were measured side by side, in their order, and what is told apart; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modeldyno.base.records.comparison import Comparison, SameMachine, Throughputs
from modeldyno.base.records.run import Row
from modeldyno.base.units import short_duration
from modeldyno.recommender.rank.projected import ordered, same_machine
from modeldyno.recommender.rounds.groups import Group
from modeldyno.recommender.rounds.measured import BASELINE, Plan
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.latencies import Floats
from modeldyno.trials.compare.ranking import Against, Ranking, rank_rounds, settling
from modeldyno.trials.selection.chosen import STAGE_CONFIDENCE, logs_of
from modeldyno.trials.selection.contenders import cell_name
from modeldyno.trials.selection.ledger import Stage
from modeldyno.trials.selection.run import Selected

FEWEST_CLEAN = 8
"""Rounds that say something of a difference; a screening has fewer."""
MOST_TIMES = 50.0
"""Longer than that nobody measures: then it is said how little they differ."""


@dataclass(frozen=True)
class Compared:
    """The rows in order, and how they were told apart."""

    ranking: tuple[Row, ...]
    comparison: Comparison | None
    same_machines: tuple[SameMachine, ...]


@dataclass(frozen=True)
class _Order:
    """Measured candidates, best first."""

    rows: tuple[Against, ...]
    tied: frozenset[str]


def compared(ranking: Sequence[Row], plan: Plan, selected: Selected) -> Compared:
    """Order the rows that meet the limits by the rounds that their candidates shared."""
    valid = [row for row in ranking if row.valid]
    groups = {group.key: group for group in plan.groups if _rows(group, valid)}
    cells = {key: cell_name(key, _rows(group, valid)[0].users or 1) for key, group in groups.items()}
    same = tuple(_same_machines(list(groups.values()), valid, plan))
    if not cells:
        return Compared(tuple(ranking), _comparison(selected, None, []), same)
    final = _ranked("finals", cells, selected)
    order = _order(final, _ranked("screening", cells, selected))
    void = [row for row in ranking if not row.valid]
    rows = [
        _told(row, against, order, (plan, selected, void))
        for against in order.rows
        for row in _in_order(groups[against.candidate], valid, plan)
    ]
    numbered = [row.model_copy(update={"rank": number}) for number, row in enumerate([*rows, *void], start=1)]
    found = list(_throughputs(plan, selected, {row.trial for row in void}))
    return Compared(tuple(numbered), _comparison(selected, final, found), same)


def _rows(group: Group, rows: Sequence[Row]) -> list[Row]:
    keys = {each.candidate.key for each in group.members}
    return [row for row in rows if row.trial in keys]


def _in_order(group: Group, rows: Sequence[Row], plan: Plan) -> list[Row]:
    """The rows of one machine here: the best by price over projected speed first."""
    names = [each.instance_type for each in ordered([one.instance for one in group.members], plan.speeds)]
    return sorted(_rows(group, rows), key=lambda row: names.index(row.instance_type))


def _ranked(stage: Stage, cells: Mapping[str, str], selected: Selected) -> Ranking | None:
    blocks = usable(selected, stage)
    logs = logs_of(blocks, selected.selection.score)
    there = {key: logs[cell] for key, cell in cells.items() if cell in logs}
    if not there:
        return None
    starts = {key: _starts(blocks, cells[key]) for key in there}
    return rank_rounds(
        there, starts, selected.spread(), seed=selected.selection.seed, confidence=STAGE_CONFIDENCE
    )


def _starts(blocks: Sequence[Block], cell: str) -> int:
    return len({block.epoch for block in blocks if block.candidate == cell})


def usable(selected: Selected, stage: Stage) -> list[Block]:
    """Blocks of the rounds in which the machine did nothing else; of all, where these are too few."""
    blocks = selected.blocks[stage]
    tainted = tainted_rounds(selected, stage)
    clean = {block.round for block in blocks} - tainted
    if len(clean) >= max(FEWEST_CLEAN, len(tainted)):
        return [block for block in blocks if block.round in clean]
    return list(blocks)


def tainted_rounds(selected: Selected, stage: Stage) -> set[int]:
    """Rounds with a block in which the machine did something else."""
    return {block.round for block in selected.blocks[stage] if selected.taint.exceeded(block.readings)}


def _order(final: Ranking | None, screened: Ranking | None) -> _Order:
    """Finalists by the finals, the others behind them by the screening.

    Who can still be the best by the screening and was in no finals is tied: it was not measured again.
    """
    finalists = {row.candidate for row in final.rows} if final else set[str]()
    rows = list(final.rows) if final else []
    tied = set(final.not_told_apart) if final else set[str]()
    for row in screened.rows if screened else ():
        if row.candidate not in finalists:
            rows.append(row)
            tied |= {row.candidate} if row.can_be_best else set()
    rows.sort(key=lambda row: (row.candidate not in tied, row.candidate not in finalists, row.estimate))
    return _Order(tuple(rows), frozenset(tied) if len(tied) > 1 else frozenset())


def _told(row: Row, against: Against, order: _Order, around: tuple[Plan, Selected, Sequence[Row]]) -> Row:
    plan, selected, void = around
    alone = len(order.rows) == 1
    # Rounds are scored by the price of one type of each machine; the others have their own.
    dearer = math.log((row.usd_per_hour or 1e-9) / (plan.usd_per_hour(against.candidate) or 1e-9))
    return row.model_copy(
        update={
            "tied_with_best": against.candidate in order.tied,
            "against_best": None if alone else _ratio(against.estimate + dearer),
            "against_best_low": None if alone else _ratio(against.low + dearer),
            "against_best_high": None if alone else _ratio(against.high + dearer),
            "weak": (*_beside_void(against, order, void), *_weak(against.candidate, order, selected)),
        }
    )


def _beside_void(against: Against, order: _Order, void: Sequence[Row]) -> Iterator[str]:
    """The best of those that were measured validly need not be the best."""
    if void and against.candidate == order.rows[0].candidate:
        names = ", ".join(dict.fromkeys(f"{row.instance_type} {row.backend}" for row in void))
        yield f"not compared with {names}: void, so nothing is known of it"


def _ratio(log: float) -> float | None:
    return math.exp(log) if math.isfinite(log) else None


def _weak(key: str, order: _Order, selected: Selected) -> Iterator[str]:
    best = order.rows[0].candidate
    ours, theirs = selected.alone[key].shared_cores, selected.alone[best].shared_cores
    if bool(ours) != bool(theirs):
        one = "it shares" if ours else f"{best} shares"
        yield f"{one} its cores with the load generator, the other does not: it looks slower than it is"
    every = {block.round for block in selected.blocks["finals"]}
    if len(every - tainted_rounds(selected, "finals")) < len(every) / 2:
        yield "the machine did other work in most rounds: all of them were judged"


def _comparison(
    selected: Selected, final: Ranking | None, throughputs: Sequence[Throughputs]
) -> Comparison | None:
    finals, screening = ({block.round for block in selected.blocks[each]} for each in _STAGES)
    if not finals and not screening:
        return None
    seconds = sum(block.seconds for blocks in selected.blocks.values() for block in blocks)
    return Comparison(
        rounds=len(finals or screening),
        starts=len({block.epoch for block in selected.blocks["finals"]}) or 1,
        screening_rounds=len(screening),
        tainted_rounds=len(tainted_rounds(selected, "finals")),
        left_out_rounds=len(finals) - len({block.round for block in usable(selected, "finals")}),
        spread_of_starts=selected.spread().sd,
        finalists=tuple(row.candidate for row in final.rows) if final else (),
        settling=_settling(final, seconds) if final else "",
        throughputs=tuple(throughputs),
        seconds=round(seconds, 1),
    )


_STAGES: tuple[Stage, Stage] = ("finals", "screening")


def _settling(final: Ranking, seconds: float) -> str:
    found = settling(final, seconds)
    if found is None:
        return ""
    if not math.isfinite(found.factor) or found.factor > MOST_TIMES:
        return f"they differ by no more than {math.expm1(found.within):.1%}: choose by other reasons"
    return (
        f"about {found.factor:.2g} times as long would tell them apart if they differ by what was seen: "
        f"{short_duration(found.seconds)} more"
    )


def _throughputs(plan: Plan, selected: Selected, void: set[str]) -> Iterator[Throughputs]:
    """Each compiled candidate over its baseline, at each level with shared rounds; of void ones none."""
    for contender in selected.selection.contenders:
        backend = plan.group(contender.key).measured.candidate.backend
        alone = backend == BASELINE or contender.anchor == contender.key
        if alone or void & {contender.key, contender.anchor}:
            continue
        for spec in contender.levels:
            users = spec.users or 1
            found = _over(contender.key, contender.anchor, users, selected)
            if found is not None:
                yield found


def _over(key: str, anchor: str, users: int, selected: Selected) -> Throughputs | None:
    cells = {key: cell_name(key, users), anchor: cell_name(anchor, users)}
    for stage in _STAGES:
        blocks = usable(selected, stage)
        logs = logs_of(blocks, lambda _, block: math.log(block.seconds / block.requests))
        if not all(cell in logs for cell in cells.values()):
            continue
        there: dict[str, Floats] = {name: logs[cell] for name, cell in cells.items()}
        shared = int(np.isfinite(np.stack(list(there.values()))).all(axis=0).sum())
        if shared < FEWEST_CLEAN:
            continue
        starts = {name: _starts(blocks, cell) for name, cell in cells.items()}
        ranking = rank_rounds(there, starts, selected.spread(), seed=selected.selection.seed)
        ours = next(row for row in ranking.rows if row.candidate == key)
        return Throughputs(
            candidate=key,
            against=anchor,
            users=users,
            ratio=math.exp(-ours.estimate),
            low=math.exp(-ours.high),
            high=math.exp(-ours.low),
            rounds=shared,
        )
    return None


def _same_machines(groups: Sequence[Group], valid: Sequence[Row], plan: Plan) -> Iterator[SameMachine]:
    """Each set of types that are one machine here, once, whatever backends and settings it was tried with."""
    seen = set[tuple[str, ...]]()
    for group in groups:
        there = {row.instance_type for row in _rows(group, valid)}
        instances = [each.instance for each in group.members if each.instance.instance_type in there]
        names = tuple(sorted(each.instance_type for each in instances))
        if len(names) > 1 and names not in seen:
            seen.add(names)
            yield same_machine(group.shape, instances, group.measured.instance.instance_type, plan.speeds)
