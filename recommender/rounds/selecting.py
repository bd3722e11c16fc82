"""A job's candidates as a selection: who, with what, for how long; and what an earlier run left of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import read_record, write_record
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Mix, single
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.load_section import Load
from modeldyno.recommender.rounds.measured import Plan, contenders, may_meet
from modeldyno.trials.measure.orders import PlannedTrial, Workload
from modeldyno.trials.providers.base import Order, Provider
from modeldyno.trials.selection.alone import Alone
from modeldyno.trials.selection.contenders import Lengths
from modeldyno.trials.selection.ledger import Ledger
from modeldyno.trials.selection.run import Selection
from modeldyno.trials.selection.stages import Tell

LEDGER_NAME, ALONE_FOLDER = "rounds.jsonl", "alone"


def takes_turns(load: Load) -> bool:
    """Whether a job's load is measured in short blocks; all others keep whole load tests."""
    return load.takes_turns


def lengths_of(load: Load) -> Lengths:
    """How long each cell is measured."""
    return Lengths(load.window_s, load.longest_s, load.min_samples, load.warmup_s, load.timeout_s)


@dataclass(frozen=True)
class Kept:
    """Where a run folder keeps what a selection measured."""

    folder: Path
    again: Callable[[Alone], bool]
    """Whether an earlier start is to be made anew."""

    def alone(self, key: str) -> Alone | None:
        """What an earlier run saw of a contender alone; None: nothing, or it is to be looked at again."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            found = read_record(path, Alone)
        except ConfigError:  # damaged, or of another version: it is measured again
            return None
        return None if self.again(found) else found

    def keep(self, alone: Alone) -> None:
        """Put it down."""
        write_record(self._path(alone.key), alone)

    def ledger(self, measured: str) -> Ledger:
        """Every block."""
        return Ledger(self.folder / LEDGER_NAME, measured)

    def _path(self, key: str) -> Path:
        return self.folder / ALONE_FOLDER / f"{key}.json"


@dataclass(frozen=True)
class Asked:
    """What is asked of a selection."""

    plan: Plan
    job: Job
    workload: Workload
    provider: Provider
    served: Callable[[PlannedTrial], Order]
    library: str
    """Digest of the compiled model; empty where there is none."""


def selection_of(
    asked: Asked, kept: Kept, tell: Tell, told_alone: Callable[[Alone], None] = lambda _: None
) -> Selection:
    """The selection of a job; `told_alone` hears of each candidate that was measured alone."""

    def keep(alone: Alone) -> None:
        kept.keep(alone)
        told_alone(alone)

    plan, job, load = asked.plan, asked.job, asked.job.load
    lengths, levels = lengths_of(load), asked.workload.specs("")
    return Selection(
        contenders=contenders(plan, levels, asked.served),
        provider=asked.provider,
        payload=_mix(asked.workload.payload),
        lengths=lengths,
        seed=job.seed,
        ledger=kept.ledger(_measured(asked, lengths, levels)),
        score=plan.score,
        meets=lambda key, result: may_meet(job.limits, plan.usd_per_hour(key), result),
        kept=kept.alone,
        keep=keep,
        tell=tell,
    )


def _mix(payload: Payload | Mix) -> Mix:
    return payload if isinstance(payload, Mix) else single(payload)


def _measured(asked: Asked, lengths: Lengths, levels: Sequence[LoadSpec]) -> str:
    """What blocks have to have in common: candidates, levels, lengths, the model that was compiled."""
    said = [
        [group.key for group in asked.plan.groups],
        asdict(lengths),
        [spec.users for spec in levels],
        asked.job.seed,
        asked.library,
    ]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()
