"""From a job's plan to contenders, and from what was measured of them back to trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import Candidate, InstanceType, Limits, Trial
from modeldyno.loadgen.spec.limit_names import named_limits
from modeldyno.loadgen.verdict.limits import verdict
from modeldyno.recommender.rank.projected import Speed, ordered
from modeldyno.recommender.rounds.groups import Group
from modeldyno.trials.catalog.cost import hourly
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.measure.orders import PlannedTrial
from modeldyno.trials.measure.trial import failed_trial
from modeldyno.trials.providers.base import Order, Provider
from modeldyno.trials.selection.contenders import Contender, contender_of
from modeldyno.trials.selection.run import Selected

BASELINE = "onnxruntime"
"""Backend that runs the model as it is."""


@dataclass(frozen=True)
class Plan:
    """Who is measured, and for whom."""

    groups: tuple[Group, ...]
    speeds: Mapping[str, Speed]

    def best_member(self, group: Group) -> InstanceType:
        """Whose price a group is ranked by: the best by price over projected speed."""
        return ordered([each.instance for each in group.members], self.speeds)[0]

    def group(self, key: str) -> Group:
        """The group whose trial has this key."""
        return next(each for each in self.groups if each.key == key)

    def usd_per_hour(self, key: str) -> float:
        """The price that a contender is ranked by: for all of its cores at work, of a burstable type too.

        A type that is held to its baseline answers less for its price: that is in it, as a dearer hour.
        """
        return self._prices[key]

    @cached_property
    def _prices(self) -> dict[str, float]:
        """Of each group by its key: every block asks for it."""
        found = dict[str, float]()
        for group in self.groups:
            member = self.best_member(group)
            busy = hourly(member, member.vcpus)
            found[group.key] = busy.usd(member.usd_per_hour) / busy.held_share
        return found

    def score(self, cell: str, block: Block) -> float:
        """Logarithm of the dollars for a request."""
        price = self.usd_per_hour(contender_of(cell)) or 1e-9
        return math.log(price * block.seconds / block.requests)


def contenders(
    plan: Plan,
    levels: tuple[LoadSpec, ...],
    served: Callable[[PlannedTrial], Order],
) -> tuple[Contender, ...]:
    """One contender a group; `served` says what is brought up for a candidate."""
    keys = {_name(group.measured): group.key for group in plan.groups}
    return tuple(
        Contender(
            key=group.key,
            order=served(group.measured),
            levels=levels,
            anchor=keys.get(_name(group.measured, BASELINE), group.key),
            larger=tuple(map(served, group.larger)),
        )
        for group in plan.groups
    )


def _name(planned: PlannedTrial, backend: str = "") -> tuple[object, ...]:
    found = planned.candidate
    return (planned.instance.vcpus, found.settings.key, backend or found.backend)


def may_meet(limits: Limits, usd_per_hour: float, result: LoadResult) -> bool:
    """Whether a level may meet the limits: none is missed for certain."""
    if limits.usd_per_hour is not None and usd_per_hour > limits.usd_per_hour:
        return False
    named = dict(named_limits(limits))
    if limits.throughput_rps is not None:
        named["throughput_rps"] = limits.throughput_rps
    return not named or verdict(result, named).answer != "missed"


def trials_of(
    plan: Plan, selected: Selected, provider: Provider, options: Callable[[Candidate], dict[str, str]]
) -> tuple[Trial, ...]:
    """A trial for each planned candidate: of one machine here all have the same load tests."""
    return tuple(trial for group in plan.groups for trial in _of_group(group, selected, provider, options))


def _of_group(
    group: Group, selected: Selected, provider: Provider, options: Callable[[Candidate], dict[str, str]]
) -> Sequence[Trial]:
    alone = selected.alone[group.key]
    points = () if alone.failure else selected.results(group.key)
    failure = alone.failure or (selected.failed.get(group.key) if not points else None)
    starts = max((_starts(selected, group.key, point) for point in points), default=1)
    left_out = tuple(f"not measured: {why}" for why in alone.left_out.values())
    fell_out = selected.failed.get(group.key, "")
    return [
        _too_small(each, alone.too_small[each.instance.instance_type], provider, options)
        if each.instance.instance_type in alone.too_small
        else Trial(
            candidate=each.candidate,
            instance=each.instance,
            fidelity=provider.fidelity(each.instance),
            started_at=alone.started_at,
            seconds=alone.seconds,
            startup_s=alone.startup_s,
            points=points,
            failure=failure,
            server_log_tail=alone.server_log_tail,
            notes=(*_notes(each, group, alone.notes, provider), *left_out),
            warnings=(
                *alone.warnings,
                *([f"it ended in a later round: {fell_out}"] if fell_out and points else []),
            ),
            compiled_with=options(each.candidate),
            measured_as="" if each is group.measured else group.key,
            starts=starts,
        )
        for each in group.members
    ]


def _too_small(
    planned: PlannedTrial, why: str, provider: Provider, options: Callable[[Candidate], dict[str, str]]
) -> Trial:
    """Its memory is less than the model needs; others of the group have more."""
    return failed_trial(
        planned, provider.fidelity(planned.instance), why, compiled_with=options(planned.candidate)
    )


def _starts(selected: Selected, key: str, point: LoadResult) -> int:
    cells = {cell.users: cell.name for cell in selected.selection.contender(key).cells()}
    blocks = selected.blocks_of(cells[point.spec.users or 1])
    return len({block.epoch for block in blocks})


def _notes(
    planned: PlannedTrial, group: Group, measured: tuple[str, ...], provider: Provider
) -> tuple[str, ...]:
    if planned is group.measured:
        return measured
    return provider.notes(planned.instance)
