"""The whole of `dyno recommend` as one function."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.clock import utc_now
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.run import Recommendation, Trial
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.model_file import SourceModel, inspect_model
from modeldyno.recommender.job.trial_orders import body_order, compile_order, workload
from modeldyno.recommender.money.demand import demand
from modeldyno.recommender.money.money import month_of
from modeldyno.recommender.rank.base import Objective
from modeldyno.recommender.rank.rank import COST, rank
from modeldyno.recommender.rank.reader_notes import caveats
from modeldyno.recommender.rounds.course import InRounds, Measured
from modeldyno.recommender.rounds.groups import groups_of
from modeldyno.recommender.rounds.parts import RunParts
from modeldyno.recommender.rounds.ranked import ranked_warnings
from modeldyno.recommender.rounds.selecting import takes_turns
from modeldyno.recommender.rounds.told import run_notes, told_what_is_not_compiled
from modeldyno.recommender.rounds.whole_tests import WholeTests
from modeldyno.recommender.search.base import Sampler
from modeldyno.recommender.search.durations import estimate_s, most_rounds_s, most_s, usual_rounds_s
from modeldyno.recommender.search.full_product import FullProduct
from modeldyno.recommender.show.events import (
    CompileEnded,
    CompileStarted,
    Event,
    RunPlanned,
)
from modeldyno.recommender.store.again import NOTHING, Again
from modeldyno.recommender.store.base import Store
from modeldyno.recommender.store.folder import FolderStore, RunFile, check_folder, open_store, run_file
from modeldyno.trials.measure.compiled import (
    Compiled,
    compile_apart,
    existing_artifact,
    summary,
)
from modeldyno.trials.measure.orders import PlannedTrial, Workload
from modeldyno.trials.measure.sent import sent
from modeldyno.trials.measure.trial import failed_trial
from modeldyno.trials.providers.base import Order, Provider
from modeldyno.trials.providers.local import LocalProvider

OnEvent = Callable[[Event], None]
FULL_PRODUCT: Sampler = FullProduct()


def recommend(
    model: Path,
    job: Job,
    run_dir: Path,
    *,
    on_event: OnEvent | None = None,
    again: Again = NOTHING,
    provider: Provider | None = None,
    sampler: Sampler = FULL_PRODUCT,
    objective: Objective = COST,
) -> Recommendation:
    """Measure the job's candidates for `model`, rank them, and write it all to `run_dir`.

    Each trial is on disk as soon as it is measured; called again, what was measured is kept, but for what
    `again` names. `sampler` chooses the candidates, `objective` says what they are ranked by. A
    candidate that fails does not end the run. Whatever was started is gone on return, also when interrupted.
    Call it from a thread that lives as long as the run.

    Raises:
        ConfigError, ModelError: the input is wrong, or `run_dir` holds another run; nothing was started.
        OutputError: `run_dir` can't be written.
    """
    where = provider or LocalProvider()
    asked = _asked(model, job, sampler, where)
    with open_store(run_dir, asked.run) as store:
        listener = on_event or _ignore
        work = _Run(asked, job, store, where, listener, again, objective)
        return work.execute()


def plan_run(
    model: Path, job: Job, run_dir: Path, *, again: Again = NOTHING, provider: Provider | None = None
) -> RunPlanned:
    """Make every check that `recommend` makes first, and say what it would do; starts and writes nothing.

    Raises:
        ConfigError, ModelError: as `recommend`.
    """
    where = provider or LocalProvider()
    asked = _asked(model, job, FULL_PRODUCT, where)
    store = FolderStore(run_dir, check_folder(run_dir, asked.run))
    return _Run(asked, job, store, where, _ignore, again).plan()


@dataclass(frozen=True)
class _Asked:
    """A job that was looked at together with its model."""

    source: SourceModel
    planned: tuple[PlannedTrial, ...]
    workload: Workload
    run: RunFile


def _asked(model: Path, job: Job, sampler: Sampler, where: Provider) -> _Asked:
    source = inspect_model(model, job)
    if job.traffic:
        demand(job.traffic)  # a trace that can't be read is told before anything is measured
    what = sent(body_order(job), source.requests)
    planned = sampler.plan(job, source.backends, host_facts())
    run = run_file(model.name, source.digest, job, what.digest, provider=where.name)
    return _Asked(source, planned, workload(job, what), run)


def _ignore(_: Event) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class _Run:
    """One run at work."""

    asked: _Asked
    job: Job
    store: Store
    provider: Provider
    tell: OnEvent
    again: Again
    objective: Objective = COST

    @property
    def source(self) -> SourceModel:
        """The model."""
        return self.asked.source

    def execute(self) -> Recommendation:
        """Measure what is not kept, rank all, write the results."""
        planned = self.asked.planned
        self.tell(self.plan())
        compiled = self._compile(planned)
        if takes_turns(self.job.load):
            measured = self._in_rounds().measure(self._refused(compiled))
        else:
            measured = Measured(self._whole_tests().measure(self._refused(compiled)), None, None)
        ranking, rejected = rank(measured.trials, self.job.limits, self.objective)
        told = measured.compared(ranking)
        manifest = compiled.manifest or existing_artifact(self.store.artifact, self.source.digest)
        recommendation = Recommendation(
            model=self.source.path.name,
            model_digest=self.source.digest,
            created_at=utc_now(),
            limits=self.job.limits,
            host=host_facts(),
            compiled=summary(manifest, compile_order(self.job).described()) if manifest else None,
            caveats=caveats(measured.trials),
            ranking=told_what_is_not_compiled(told.ranking, manifest),
            rejected=told_what_is_not_compiled(rejected, manifest),
            notes=run_notes(self.job, self.source.backends, compiled),
            comparison=told.comparison,
            same_machines=told.same_machines,
            warnings=ranked_warnings(told, rejected),
            money=month_of(self.job, told.ranking, measured.trials),
        )
        self.store.publish(recommendation)
        return recommendation

    def plan(self) -> RunPlanned:
        """Say what is kept, what can't run here, and what is to be measured."""
        planned = self.asked.planned
        open_ = [each for each in planned if self._kept(each) is None]
        refusals = [(each, self.provider.refusal(each.instance)) for each in open_]
        to_measure = tuple(each for each, refusal in refusals if refusal is None)
        in_turns, asked = takes_turns(self.job.load), (self.job, len(to_measure))
        groups = len(groups_of(to_measure))
        started = 0 if in_turns else self._whole_tests().starts_before(to_measure)
        return RunPlanned(
            kept=tuple(trial for each in planned if (trial := self._kept(each))),
            refused=tuple((each, refusal) for each, refusal in refusals if refusal is not None),
            to_measure=to_measure,
            load=self.job.load,
            seconds=usual_rounds_s(self.job, groups) if in_turns else estimate_s(*asked, done=started),
            most_seconds=most_rounds_s(self.job, groups) if in_turns else most_s(*asked, done=started),
            starts=self.job.load.starts,
            started=started,
            notes=(*run_notes(self.job, self.source.backends, None), *self._begun(started)),
        )

    def _begun(self, starts: int) -> Iterator[str]:
        """Say what an earlier run that was ended left."""
        blocks = self._in_rounds().blocks_before() if takes_turns(self.job.load) else 0
        if blocks:
            yield f"Kept from before: {blocks} blocks; new rounds begin with new servers."
        if starts:
            yield f"Kept from before: the load tests of {starts} start{'' if starts == 1 else 's'}."

    def _kept(self, planned: PlannedTrial) -> Trial | None:
        trial = self.store.finished(planned.candidate, planned.instance)
        return None if trial is not None and self.again.wants(trial) else trial

    def _startable(self, planned: PlannedTrial) -> bool:
        return self._kept(planned) is None and self.provider.refusal(planned.instance) is None

    def _compile(self, planned: Sequence[PlannedTrial]) -> Compiled:
        """Compile once, and only when a trial needs it."""
        if not any(each.candidate.backend == "compiled" and self._startable(each) for each in planned):
            return Compiled(None)
        began = time.monotonic()
        compiled = self._artifact()
        if compiled.manifest is not None:
            self.store.use_library(compiled.manifest.model_digest)
        seconds = time.monotonic() - began
        self.tell(CompileEnded(compiled.manifest, compiled.reused, compiled.failure, seconds))
        return compiled

    def _artifact(self) -> Compiled:
        found = existing_artifact(self.store.artifact, self.source.digest)
        if found is not None:
            return Compiled(found, reused=True)
        self.tell(CompileStarted(self.job.compile.target))
        order = compile_order(self.job)
        return compile_apart(self.source.path, self.store.artifact, order, self.store.log("compile"))

    def _parts(self) -> RunParts:
        asked = self.asked
        return RunParts(
            planned=asked.planned,
            job=self.job,
            workload=asked.workload,
            provider=self.provider,
            store=self.store,
            again=self.again,
            tell=self.tell,
            served=self._order,
        )

    def _whole_tests(self) -> WholeTests:
        """Whole load tests, in rounds of drawn order."""
        return WholeTests(self._parts())

    def _in_rounds(self) -> InRounds:
        """Short blocks side by side."""
        return InRounds(self._parts(), self._kept)

    def _refused(self, compiled: Compiled) -> dict[str, Trial]:
        """Candidates that can't even be started."""
        found = {each.candidate.key: self._not_startable(each, compiled) for each in self.asked.planned}
        return {key: trial for key, trial in found.items() if trial is not None}

    def _order(self, planned: PlannedTrial) -> Order:
        """What is brought up for a candidate."""
        return Order(
            planned.candidate,
            planned.instance,
            self._served(planned),
            self.store.log(planned.candidate.key),
            self.asked.workload.startup_timeout_s,
        )

    def _served(self, planned: PlannedTrial) -> Path:
        return self.store.artifact if planned.candidate.backend == "compiled" else self.source.path

    def _not_startable(self, planned: PlannedTrial, compiled: Compiled) -> Trial | None:
        fidelity = self.provider.fidelity(planned.instance)
        if refusal := self.provider.refusal(planned.instance):
            return failed_trial(planned, fidelity, refusal)
        if planned.candidate.backend == "compiled" and compiled.failure:
            return failed_trial(
                planned, fidelity, compiled.failure, compiled.log_tail, self.asked.workload.compiled_with
            )
        return None
