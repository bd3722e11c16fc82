"""Candidates of a job side by side, from the plan to the trials on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modeldyno.base.records.run import Candidate, Row, Trial
from modeldyno.recommender.rank.projected import family_speeds
from modeldyno.recommender.rounds.compared import Compared, compared
from modeldyno.recommender.rounds.groups import groups_of
from modeldyno.recommender.rounds.measured import Plan, trials_of
from modeldyno.recommender.rounds.parts import RunParts
from modeldyno.recommender.rounds.selecting import LEDGER_NAME, Asked, Kept, selection_of
from modeldyno.recommender.show.events import AloneMeasured, Measuring, TrialEnded
from modeldyno.trials.catalog.instance_types import load_catalog
from modeldyno.trials.measure.orders import PlannedTrial
from modeldyno.trials.selection.alone import Alone
from modeldyno.trials.selection.ledger import blocks_in
from modeldyno.trials.selection.run import Selected, Selection, select, selected_before


@dataclass(frozen=True)
class InRounds:
    """One run whose candidates take turns."""

    run: RunParts
    kept: Callable[[PlannedTrial], Trial | None]

    def blocks_before(self) -> int:
        """How many blocks an earlier run left that has not come to its end."""
        if all(self.kept(each) for each in self.run.planned):
            return 0
        return blocks_in(self.run.store.folder / LEDGER_NAME)

    def measure(self, refused: Mapping[str, Trial]) -> Measured:
        """Measure all but the refused, unless every trial is kept; each trial is on disk on return."""
        able = [each for each in self.run.planned if each.candidate.key not in refused]
        found = {key: self._as_before(key, trial) for key, trial in refused.items()}
        selected = plan = None
        if able:
            plan = Plan(groups_of(able), family_speeds(load_catalog(self.run.job.catalog).values()))
            kept = [self.kept(each) for each in able]
            selection = self._selection(plan)
            if not all(kept):
                self._forget()
            selected = selected_before(selection) if all(kept) else select(selection)
            for trial in trials_of(plan, selected, self.run.provider, self.run.workload.compiled_options):
                found[trial.candidate.key] = trial
        for each in self.run.planned:
            if self.kept(each) != found[each.candidate.key]:
                self.run.store.save(found[each.candidate.key])
                self.run.tell(TrialEnded(found[each.candidate.key]))
        return Measured(tuple(found[each.candidate.key] for each in self.run.planned), plan, selected)

    def _as_before(self, key: str, trial: Trial) -> Trial:
        """What can't be started for the same reason as before is no news."""
        before = next(self.kept(each) for each in self.run.planned if each.candidate.key == key)
        return before if before is not None and before.failure == trial.failure else trial

    def _forget(self) -> None:
        """Rounds are of all candidates: where some are to be measured again, all take part in new ones."""
        if self.run.again.void or self.run.again.tainted or self.run.again.names:
            (self.run.store.folder / LEDGER_NAME).unlink(missing_ok=True)

    def _selection(self, plan: Plan) -> Selection:
        asked = Asked(
            plan, self.run.job, self.run.workload, self.run.provider, self.run.served, self.run.store.library
        )
        return selection_of(
            asked,
            Kept(self.run.store.folder, self._once_more),
            lambda text, left_s: self.run.tell(Measuring(text, left_s)),
            lambda alone: self.run.tell(AloneMeasured(self._candidate(alone.key), alone)),
        )

    def _candidate(self, key: str) -> Candidate:
        return next(each.candidate for each in self.run.planned if each.candidate.key == key)

    def _once_more(self, alone: Alone) -> bool:
        return (self.run.again.failed and alone.failure is not None) or self.run.again.names_it(alone.key)


@dataclass(frozen=True, eq=False)
class Measured:
    """The trials, and what they may be compared by."""

    trials: tuple[Trial, ...]
    plan: Plan | None
    selected: Selected | None

    def compared(self, ranking: Sequence[Row]) -> Compared:
        """The rows that meet the limits, in the order of the rounds."""
        if self.plan is None or self.selected is None:
            return Compared(tuple(ranking), None, ())
        return compared(ranking, self.plan, self.selected)
