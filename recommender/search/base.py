"""Which of the possible candidates are measured, and in which order: the contract of a sampler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from modeldyno.base.records.record import HostFacts
from modeldyno.recommender.job.job import Backend, Job
from modeldyno.trials.measure.orders import PlannedTrial


class Sampler(Protocol):
    """Chooses candidates."""

    def plan(self, job: Job, backends: Iterable[Backend], host: HostFacts) -> tuple[PlannedTrial, ...]:
        """Return the candidates to measure, in that order, each once; equal jobs give equal plans.

        `backends` are those that can run the model, of those that the job names.

        Raises:
            ConfigError: the job names an instance type that is not known.
        """
