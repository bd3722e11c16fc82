"""What a run consists of, however its candidates are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modeldyno.recommender.job.job import Job
from modeldyno.recommender.show.events import Event
from modeldyno.recommender.store.again import Again
from modeldyno.recommender.store.base import Store
from modeldyno.trials.measure.orders import PlannedTrial, Workload
from modeldyno.trials.providers.base import Order, Provider


@dataclass(frozen=True)
class RunParts:
    """One run: its candidates, what each gets, where, and what is kept of an earlier one."""

    planned: tuple[PlannedTrial, ...]
    job: Job
    workload: Workload
    provider: Provider
    store: Store
    again: Again
    tell: Callable[[Event], None]
    served: Callable[[PlannedTrial], Order]
    """What is brought up for a candidate."""
