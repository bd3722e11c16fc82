"""Whole load tests of several candidates: who is started when, what is kept, and how a killed run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modeldyno.base.records.load import LoadResult, RateSearch
from modeldyno.base.records.run import Limits, Trial
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.trial_orders import workload
from modeldyno.recommender.rounds import whole_tests
from modeldyno.recommender.rounds.parts import RunParts
from modeldyno.recommender.rounds.whole_tests import WholeTests
from modeldyno.recommender.show.events import Event, StartEnded, TrialEnded
from modeldyno.recommender.store.again import NOTHING, Again
from modeldyno.recommender.store.folder import open_store, run_file
from modeldyno.trials.measure.orders import PlannedTrial, Workload
from modeldyno.trials.measure.sent import Sent
from modeldyno.trials.providers.base import Order
from modeldyno.trials.providers.local import LocalProvider
from tests.recommender.tiny import instance, planned
from tests.trials.whole.test_summed import FOUND, MET, MISSED, load_at, searched

PLANNED = tuple(planned(instance(f"test.{name}")) for name in ("a", "b", "c"))
RATES = Job.model_validate({"load": {"rate_rps": [100]}})
SEARCH = Job(
    load=Job.model_validate({"load": {"find_rate": {}}, "limits": {"p99_ms": 50}}).load,
    limits=Limits(p99_ms=50),
)
Answer = Callable[[str, Workload], Trial]


def by_rate(_: str, what: Workload) -> Trial:
    """Each load test as asked for."""
    (spec,) = what.specs("u")
    return searched(FOUND, load_at(100)).model_copy(update={"search": None, "points": (of(spec.seed),)})


def of(seed: int) -> LoadResult:
    found = load_at(100)
    return found.model_copy(update={"spec": found.spec.model_copy(update={"seed": seed})})


def by_search(key: str, what: Workload) -> Trial:
    """A search that finds 100/s; candidate b misses it once."""
    if what.confirm_rps is None:
        return searched(FOUND, load_at(50), load_at(100))
    assert what.confirm_rps == 100
    first = what.specs("u")[0].seed == by_search.__dict__.setdefault(key, what.specs("u")[0].seed)
    return searched(MISSED, load_at(100, 60)) if "test.b" in key and first else searched(MET, load_at(100))


@dataclass
class Bench:
    """A run folder, and servers that answer at once; `asked` are the starts, `events` what was told."""

    folder: Path
    answer: Answer = by_rate
    asked: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    killed_after: int = 10**6

    def started(self, chosen: PlannedTrial, _: Path, what: Workload, **__: Any) -> Trial:
        if len(self.asked) == self.killed_after:
            raise KeyboardInterrupt
        self.asked.append(chosen.candidate.instance_type)
        found = self.answer(chosen.candidate.key, what)
        return found.model_copy(update={"candidate": chosen.candidate, "instance": chosen.instance})

    def measure(
        self, job: Job, again: Again = NOTHING, chosen: tuple[PlannedTrial, ...] = PLANNED
    ) -> list[Trial]:
        with open_store(self.folder, run_file("m.onnx", "digest", job, "sent")) as store:
            parts = RunParts(
                chosen,
                job,
                workload(job, Sent(None)),  # type: ignore[arg-type] # nothing is sent
                LocalProvider(),
                store,
                again,
                self.events.append,
                lambda each: Order(
                    each.candidate, each.instance, Path("m"), store.log(each.candidate.key), 9.0
                ),
            )
            return list(WholeTests(parts).measure({}))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    found = Bench(tmp_path / "run")
    monkeypatch.setattr(whole_tests, "run_trial", found.started)
    return found


def test_each_round_starts_all_candidates_anew_in_an_order_of_its_own(bench: Bench) -> None:
    job = Job.model_validate({"load": {"rate_rps": [100], "rounds": 4}})
    found = bench.measure(job)
    rounds = [bench.asked[at : at + 3] for at in (0, 3, 6, 9)]
    assert all(sorted(each) == ["test.a", "test.b", "test.c"] for each in rounds)
    assert len(set(map(tuple, rounds))) > 1
    assert [(trial.starts, trial.points[0].samples) for trial in found] == [(4, 1600)] * 3


def test_rounds_have_other_arrivals_and_candidates_of_a_round_the_same(bench: Bench) -> None:
    bench.measure(RATES)
    seeds = {
        (event.number, event.trial.points[0].spec.seed)
        for event in bench.events
        if isinstance(event, StartEnded)
    }
    assert len(seeds) == len({seed for _, seed in seeds}) == 2


def test_a_killed_run_goes_on_behind_its_last_start(bench: Bench) -> None:
    bench.killed_after = 4
    with pytest.raises(KeyboardInterrupt):
        bench.measure(RATES)
    assert len(list((bench.folder / "starts").iterdir())) == 4
    before, bench.asked, bench.killed_after = bench.asked, [], 99
    found = bench.measure(RATES)
    assert sorted(before[:3]) == ["test.a", "test.b", "test.c"]
    assert sorted([before[3], *bench.asked]) == ["test.a", "test.b", "test.c"]
    assert [trial.starts for trial in found] == [2, 2, 2]


def test_what_is_done_is_neither_measured_nor_told_again_until_it_is_asked_for(bench: Bench) -> None:
    first = bench.measure(RATES)
    bench.asked, bench.events = [], []
    assert bench.measure(RATES) == first
    assert (bench.asked, bench.events) == ([], [])
    bench.measure(RATES, Again(names=("test.b_*",)))
    assert bench.asked == ["test.b", "test.b"]


def test_another_candidate_is_measured_beside_those_that_are_kept(bench: Bench) -> None:
    bench.measure(RATES, chosen=PLANNED[:2])
    bench.asked = []
    found = bench.measure(RATES)
    assert bench.asked == ["test.c", "test.c"]
    assert [trial.starts for trial in found] == [2, 2, 2]


def test_a_candidate_that_fails_is_not_started_again(bench: Bench) -> None:
    def answer(key: str, what: Workload) -> Trial:
        found = by_rate(key, what)
        return found.model_copy(update={"failure": "died", "points": ()}) if "test.a" in key else found

    bench.answer = answer
    found = bench.measure(RATES)
    assert bench.asked.count("test.a") == 1
    assert [trial.failure for trial in found] == ["died", None, None]
    bench.asked = []
    bench.measure(RATES, Again(failed=True))
    assert bench.asked == ["test.a"]


def test_all_rates_are_searched_then_confirmed_in_rounds(bench: Bench) -> None:
    bench.answer = by_search
    found = bench.measure(SEARCH)
    assert [sorted(bench.asked[at : at + 3]) for at in (0, 3, 6)] == [["test.a", "test.b", "test.c"]] * 3
    assert [trial.search.confirmed for trial in found if isinstance(trial.search, RateSearch)] == [
        True,
        False,
        True,
    ]
    assert found[1].weak == ("the rate that was found (100 req/s) missed in 1 of 2 confirmations",)
    assert sum(isinstance(event, TrialEnded) for event in bench.events) == 3
    confirms = [event.confirms for event in bench.events if isinstance(event, StartEnded)]
    assert confirms == [False] * 3 + [True] * 6


def test_a_new_search_is_not_confirmed_by_the_starts_of_an_old_one(bench: Bench) -> None:
    bench.answer = by_search
    bench.measure(SEARCH)
    lower = FOUND.model_copy(update={"met_rps": 50.0})
    for path in (bench.folder / "starts").glob("test.a*.1.json"):
        old = Trial.model_validate_json(path.read_bytes())
        path.write_text(old.model_copy(update={"search": lower}).model_dump_json())
    bench.asked = []
    bench.answer = lambda *_: searched(MET, load_at(50))
    bench.measure(SEARCH)
    assert bench.asked == ["test.a", "test.a"]
