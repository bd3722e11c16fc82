"""Candidates of a job by whole load tests, in rounds of drawn order, from the plan to the trials on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modeldyno.base.records.run import Trial
from modeldyno.recommender.rounds.parts import RunParts
from modeldyno.recommender.show.events import StartEnded, TrialEnded, TrialLoaded, TrialStarted
from modeldyno.trials.compare.plan import round_seed, start_order
from modeldyno.trials.measure.orders import PlannedTrial, Workload
from modeldyno.trials.measure.trial import run_trial
from modeldyno.trials.whole.summed import summed

Starts = dict[str, list[Trial]]


@dataclass(frozen=True)
class WholeTests:
    """One run whose candidates are each measured in several starts."""

    run: RunParts
    found: Starts = field(default_factory=dict)
    """What each candidate's starts measured, in their order."""

    def starts_before(self, planned: Sequence[PlannedTrial]) -> int:
        """How many starts of these an earlier run left; those that are not needed count as done."""
        found = map(self._from_before, planned)
        return sum(len(starts) if _unfinished(starts) else self.run.job.load.starts for starts in found)

    def measure(self, refused: Mapping[str, Trial]) -> tuple[Trial, ...]:
        """Measure what is not kept of all but the refused; each trial is on disk on return."""
        before = {each.candidate.key: self._whole(each) for each in self.run.planned}
        able = {each.candidate.key: each for each in self.run.planned if each.candidate.key not in refused}
        self.found.update((key, self._from_before(each)) for key, each in able.items())
        old = {key: trial for key, trial in before.items() if trial is not None and not self.found.get(key)}
        old = {key: trial for key, trial in old.items() if key in able}
        for number in range(1, self.run.job.load.starts + 1):
            for key in start_order([key for key in able if key not in old], number, self.run.job.seed):
                self._measure(able[key], number)
        measured = {key: starts for key, starts in self.found.items() if starts}
        trials = {**self._as_before(refused, before), **old, **summed(measured)}
        for key, trial in trials.items():
            if before[key] != trial:
                self.run.store.save(trial)
                self.run.tell(TrialEnded(trial))
        return tuple(trials[each.candidate.key] for each in self.run.planned)

    def _whole(self, planned: PlannedTrial) -> Trial | None:
        trial = self.run.store.finished(planned.candidate, planned.instance)
        return None if trial is not None and self.run.again.wants(trial) else trial

    def _as_before(
        self, refused: Mapping[str, Trial], before: Mapping[str, Trial | None]
    ) -> dict[str, Trial]:
        """What can't be started for the same reason as before is no news."""
        return {
            key: kept if (kept := before[key]) is not None and kept.failure == trial.failure else trial
            for key, trial in refused.items()
        }

    def _from_before(self, planned: PlannedTrial) -> list[Trial]:
        return list(self._kept(planned))

    def _kept(self, planned: PlannedTrial) -> Iterator[Trial]:
        """The starts that are on disk, up to the first that is missing or that is to be measured again."""
        rate_rps: float | None = None
        for number in range(1, self.run.job.load.starts + 1):
            trial = self.run.store.started(planned.candidate, planned.instance, number)
            if trial is None or self.run.again.wants(trial):
                return
            if number == 1:
                rate_rps = trial.search.met_rps if trial.search is not None else None
            elif any(point.spec.rate_rps != rate_rps for point in trial.points if trial.search is not None):
                return  # it confirms what another search found
            yield trial

    def _measure(self, planned: PlannedTrial, number: int) -> None:
        starts = self.found[planned.candidate.key]
        if len(starts) >= number or not _unfinished(starts):
            return
        order = self.run.served(planned)
        self.run.tell(TrialStarted(planned))
        trial = run_trial(
            planned,
            order.model,
            self._workload(starts, number),
            provider=self.run.provider,
            log=order.log if number == 1 else order.log.with_suffix(f".{number}.log"),
            on_load=lambda spec, progress: self.run.tell(TrialLoaded(planned, spec, progress)),
        )
        self.run.store.save_start(trial, number)
        starts.append(trial)
        self.run.tell(StartEnded(trial, number, confirms=number > 1 and self.run.workload.search is not None))

    def _workload(self, starts: list[Trial], number: int) -> Workload:
        """The same for all candidates of a round; other rounds have other arrivals."""
        if number == 1:
            return self.run.workload
        repeated = self.run.workload.repeated(round_seed(number, self.run.job.seed))
        search = starts[0].search
        return repeated if search is None else replace(repeated, confirm_rps=search.met_rps)


def _unfinished(starts: Sequence[Trial]) -> bool:
    """Whether a candidate is started again: not one that failed, nor whose search found no rate."""
    if not starts:
        return True
    first = starts[0]
    return first.failure is None and (first.search is None or first.search.met_rps is not None)
