"""Where the trials of a run are kept: the contract of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from modeldyno.base.records.run import Candidate, InstanceType, Recommendation, Trial


class Store(Protocol):
    """Trials of one run, kept as soon as they are measured."""

    @property
    def folder(self) -> Path:
        """Folder on this machine for what a selection measures."""

    @property
    def library(self) -> str:
        """Digest of the compiled model that is measured; empty where there is none."""

    @property
    def artifact(self) -> Path:
        """Folder on this machine for the compiled model."""

    def log(self, name: str) -> Path:
        """Where on this machine a child's output goes."""

    def save(self, trial: Trial) -> None:
        """Keep a trial, whole or not at all.

        Raises:
            OutputError: it can't be written.
        """

    def finished(self, candidate: Candidate, instance: InstanceType) -> Trial | None:
        """Return the kept trial of this candidate, at the instance type's present price.

        None when there is none, or when the instance type has another shape by now.

        Raises:
            ConfigError: the trial's record is damaged.
        """

    def save_start(self, trial: Trial, number: int) -> None:
        """Keep what one start of a candidate measured, from 1 on, whole or not at all.

        Raises:
            OutputError: it can't be written.
        """

    def started(self, candidate: Candidate, instance: InstanceType, number: int) -> Trial | None:
        """Return what was kept of a start; as `finished`."""

    def use_library(self, digest: str) -> None:
        """Note which compiled model is measured; trials of another one are dropped."""

    def publish(self, found: Recommendation) -> None:
        """Keep the ranking, and write what people read.

        Raises:
            OutputError: it can't be written.
        """
