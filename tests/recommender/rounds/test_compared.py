"""Rows in the order of the rounds, from blocks whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import Limits, Row
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import single
from modeldyno.recommender.rank.rank import rank
from modeldyno.recommender.rounds.compared import Compared, compared
from modeldyno.recommender.rounds.groups import groups_of
from modeldyno.recommender.rounds.measured import Plan, contenders, may_meet, trials_of
from modeldyno.recommender.rounds.ranked import ranked_warnings
from modeldyno.trials.measure.orders import PlannedTrial
from modeldyno.trials.providers.base import Order
from modeldyno.trials.providers.local import LocalProvider
from modeldyno.trials.selection.alone import Alone
from modeldyno.trials.selection.contenders import Lengths
from modeldyno.trials.selection.ledger import Ledger
from modeldyno.trials.selection.run import Selection, selected_before
from tests.recommender.tiny import instance, planned
from tests.trials.selection.made import rounds

LEVELS = (LoadSpec(url="", users=1), LoadSpec(url="", users=2))
ONE, ALSO, TWO = (
    instance("a.one", usd_per_hour=0.1),
    instance("b.one", usd_per_hour=0.2),
    instance("c.two", vcpus=2, usd_per_hour=0.2),
)


def order(each: PlannedTrial) -> Order:
    return Order(each.candidate, each.instance, Path("m"), Path("log"), 1.0)


def run(
    folder: Path, means_us: dict[str, float], *, finals: bool = True, price: float | None = None
) -> tuple[Compared, tuple[Row, ...]]:
    """Baseline and compiled on two machines, four times as fast at 2 users; means by `backend type`."""
    everyone = [
        planned(kind, backend) for kind in (ONE, ALSO, TWO) for backend in ("onnxruntime", "compiled")
    ]
    plan = Plan(groups_of(everyone), {})
    ledger = Ledger(folder / "rounds.jsonl", "test")
    ledger.open()
    cells = dict[str, float]()
    for name, mean_us in means_us.items():
        key = next(
            group.key
            for group in plan.groups
            if f"{group.measured.candidate.backend} {group.measured.candidate.instance_type}" == name
        )
        cells |= {f"{key}@1": mean_us, f"{key}@2": mean_us / 2}
    for block in rounds(cells, 6):
        ledger.add("screening", block)
    if finals:
        at_two = {cell: mean for cell, mean in cells.items() if cell.endswith("@2")}
        for epoch in (1, 2):
            for block in rounds(at_two, 12, first=6 * 2 * epoch, epoch=epoch, seed=epoch):
                ledger.add("finals", block)
    alone = {
        group.key: Alone(
            key=group.key,
            started_at="2026-01-01",
            seconds=1.0,
            startup_s=0.5,
            memory_mib=10.0,
            request_s=dict.fromkeys((f"{group.key}@1", f"{group.key}@2"), 0.001),
        )
        for group in plan.groups
    }
    limits = Limits(usd_per_hour=price)
    selection = Selection(
        contenders(plan, LEVELS, order),
        LocalProvider(),
        single(Payload(b"x", "text/plain")),
        Lengths(1.0, 1.0, 0, 0.0, 1.0),
        0,
        Ledger(folder / "rounds.jsonl", "test"),
        plan.score,
        lambda key, result: may_meet(limits, plan.usd_per_hour(key), result),
        kept=alone.get,
    )
    selected = selected_before(selection)
    trials = trials_of(plan, selected, LocalProvider(), lambda _: {})
    ranking, rejected = rank(trials, limits)
    return compared(ranking, plan, selected), rejected


def named(rows: tuple[Row, ...]) -> list[str]:
    return [f"{row.backend} {row.instance_type}" for row in rows]


MEANS = {
    "onnxruntime a.one": 2000.0,
    "compiled a.one": 1500.0,
    "onnxruntime c.two": 1800.0,
    "compiled c.two": 1200.0,
}


def test_the_cheapest_by_the_rounds_is_first_and_alone(tmp_path: Path) -> None:
    found, _ = run(tmp_path, MEANS)
    best, *others = found.ranking
    assert named((best,)) == ["compiled a.one"]
    assert best.users == 2
    assert not any(row.tied_with_best for row in found.ranking)
    # 1,500 us at 0.1 against 2,000 us at 0.1 USD: a quarter cheaper than the next.
    assert best.against_best == pytest.approx(0.75, rel=0.03)
    assert best.against_best_low is not None
    assert best.against_best_low < 0.75 < (best.against_best_high or 0) < 1
    assert all(
        (row.against_best or 0) > 1
        for row in others
        if row.trial != best.trial and row.instance_type != "b.one"
    )
    assert [row.rank for row in found.ranking] == list(range(1, len(found.ranking) + 1))


def test_types_that_are_one_machine_stand_together_and_the_page_is_told_why(tmp_path: Path) -> None:
    found, _ = run(tmp_path, MEANS)
    assert named(found.ranking)[:2] == ["compiled a.one", "compiled b.one"]
    (same,) = found.same_machines
    assert same.instance_types == ("a.one", "b.one")


def test_alike_candidates_are_not_told_apart_and_it_is_said_what_would_settle_it(tmp_path: Path) -> None:
    found, _ = run(tmp_path, {**MEANS, "onnxruntime a.one": 1501.0})
    tied = [row for row in found.ranking if row.tied_with_best]
    assert {row.backend for row in tied if row.instance_type == "a.one"} == {"compiled", "onnxruntime"}
    assert found.comparison is not None
    assert found.comparison.settling


def test_compiled_over_its_baseline_comes_from_shared_rounds(tmp_path: Path) -> None:
    found, _ = run(tmp_path, MEANS)
    assert found.comparison is not None
    ratios = {each.candidate: each for each in found.comparison.throughputs if each.users == 2}
    ours = ratios[next(key for key in ratios if key.startswith("a.one_compiled"))]
    assert ours.ratio == pytest.approx(2000 / 1500, rel=0.03)
    assert ours.low < 2000 / 1500 < ours.high
    assert ours.rounds == 24


def test_where_all_miss_the_limits_nothing_is_ranked(tmp_path: Path) -> None:
    found, rejected = run(tmp_path, MEANS, finals=False, price=0.01)
    assert found.ranking == ()
    assert len(rejected) == 6
    assert ranked_warnings(found, rejected) == ()
