"""A run folder, read: the recommendation and the trials it was made from."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.comparison import SameMachine
from modeldyno.base.records.levels import level_of
from modeldyno.base.records.load import LoadResult, standing
from modeldyno.base.records.record import R, read_record
from modeldyno.base.records.run import Recommendation, Row, Trial
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.tools.profile_records import Profile

RECOMMENDATION_NAME = "recommendation.json"
TRIALS_NAME = "trials"
SCHEMA_VERSION = 2
"""The newest that is read; 1 is read too."""
MOST_RECORD_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Run:
    """The records of one run; `trials` by the candidate's key."""

    recommendation: Recommendation
    trials: dict[str, Trial]
    manifest: Manifest | None = None
    """Of the compiled model; None where the folder has it no more."""
    profile: Profile | None = None
    """What `dyno profile run/artifact --json > run/profile.json` left, if it was asked for."""
    job: str = ""
    """The job as YAML; empty where the folder has none."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row: the ranked ones in order, then the rejected ones."""
        return self.recommendation.ranking + self.recommendation.rejected

    def points(self, row: Row) -> tuple[LoadResult, ...]:
        """Return all load tests of the row's candidate: in order, those of a search by their rate."""
        trial = self.trials.get(row.trial)
        if trial is None or trial.search is None:
            return trial.points if trial else ()
        return tuple(sorted(trial.points, key=lambda point: point.spec.rate_rps or 0.0))

    def measured_key(self, row: Row) -> str:
        """Key of the trial whose load tests the row has: of one machine with several names another row's."""
        trial = self.trials.get(row.trial)
        if trial is not None:
            return trial.measured_as or row.trial
        same = self.same_machine(row)
        return row.trial if same is None else row.trial.replace(row.instance_type, same.measured_as, 1)

    def same_machine(self, row: Row) -> SameMachine | None:
        """What is known of the row's instance type and others that are one machine here."""
        found = self.recommendation.same_machines
        return next((one for one in found if row.instance_type in one.instance_types), None)

    def level(self, row: Row) -> LoadResult | None:
        """Return the load test that the row was taken from, if its record is there."""
        return standing(point for point in self.points(row) if level_of(point.spec) == level_of(row))


def read_run(run_dir: Path) -> Run:
    """Read a run folder of `dyno recommend`.

    Raises:
        ConfigError: `run_dir` is no run folder, or a record in it is damaged or of a newer schema.
    """
    path = run_dir / RECOMMENDATION_NAME
    if not path.is_file():
        raise ConfigError(_no_run(run_dir))
    return run_of(_read(path, Recommendation), run_dir)


def run_of(recommendation: Recommendation, run_dir: Path) -> Run:
    """Put the trials of a run folder beside a recommendation; those that are not there are left out.

    Raises:
        ConfigError: a record is damaged or of a newer schema.
    """
    trials = [_read(file, Trial) for file in sorted((run_dir / TRIALS_NAME).glob("*.json"))]
    return Run(
        recommendation,
        {trial.candidate.key: trial for trial in trials},
        manifest=_manifest(run_dir / "artifact" / "manifest.json", recommendation),
        profile=_beside(run_dir / "profile.json", Profile),
        job=_job(run_dir / "job.json"),
    )


def _manifest(path: Path, recommendation: Recommendation) -> Manifest | None:
    """That of the compiled model that was ranked; None where another model is there."""
    found = _beside(path, Manifest) if recommendation.compiled else None
    return found if found is not None and found.source_digest == recommendation.model_digest else None


def _beside(path: Path, kind: type[R]) -> R | None:
    """Read what a report can do without; None where it is not there or damaged."""
    with suppress(ConfigError, OSError):
        if path.is_file() and path.stat().st_size <= MOST_RECORD_BYTES:
            return read_record(path, kind)
    return None


def _job(path: Path) -> str:
    """Give the job of a run as `--job` takes it, without what is not set."""
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        found = _set(json.loads(path.read_bytes()).get("job"))
        return yaml.safe_dump(found, sort_keys=False, allow_unicode=True) if found else ""
    return ""


def _set(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: left for key, one in value.items() if (left := _set(one)) not in (None, {}, [])}


def _no_run(run_dir: Path) -> str:
    if not run_dir.exists():
        return f"there is no folder {run_dir}; name the --output folder of a `dyno recommend`"
    unfinished = " (its trials are there: run `dyno recommend` again to finish it)"
    hint = unfinished if (run_dir / TRIALS_NAME).is_dir() else ""
    return f"{run_dir} is no run folder: it has no {RECOMMENDATION_NAME}{hint}; `dyno recommend` makes one"


def _read(path: Path, kind: type[R]) -> R:
    if path.stat().st_size > MOST_RECORD_BYTES:
        raise ConfigError(f"{path} is larger than {MOST_RECORD_BYTES // 2**20} MiB: no record is")
    try:
        return read_record(path, kind)
    except ConfigError as error:
        found = _schema_version(path)
        if found is not None and found > SCHEMA_VERSION:
            raise ConfigError(
                f"{path} has schema_version {found}, this modeldyno reads 1 to {SCHEMA_VERSION}: "
                "update modeldyno"
            ) from error
        raise ConfigError(
            f"{error}; the record is damaged: run `dyno recommend` again to renew it"
        ) from error


def _schema_version(path: Path) -> int | None:
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        found = json.loads(path.read_bytes()).get("schema_version")
        return found if isinstance(found, int) else None
    return None
