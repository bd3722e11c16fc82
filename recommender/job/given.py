"""What the command line adds to a job, or puts in the place of what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from modeldyno.base.errors import ConfigError
from modeldyno.recommender.job.job import Job

KINDS_OF_TRAFFIC = {"rate_rps", "day", "night", "curve", "trace"}


def with_given(
    job: Job,
    *,
    instances: tuple[str, ...] = (),
    traffic: Mapping[str, Any] | None = None,
    limits: Mapping[str, float] | None = None,
) -> Job:
    """Take instance types and traffic in the place of the job's, and limits beside them.

    `traffic` are fields of the section; a kind of traffic (rate, day, curve, trace) replaces the job's kind.

    Raises:
        ConfigError: what is given does not go together.
    """
    if not (instances or traffic or limits):
        return job
    sections: dict[str, Any] = {name: getattr(job, name) for name in job.model_fields_set}
    if instances:
        sections["candidates"] = job.candidates.model_copy(update={"instance_types": instances})
    if limits:
        sections["limits"] = {**job.limits.model_dump(), **limits}
    if traffic:
        sections["traffic"] = _traffic(job, traffic)
    try:
        return Job.model_validate(sections)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}: {message}" if where else message) from error


def _traffic(job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
    before = job.traffic.model_dump(exclude_unset=True) if job.traffic else {}
    if given.keys() & KINDS_OF_TRAFFIC:
        before = {name: value for name, value in before.items() if name not in KINDS_OF_TRAFFIC}
    return {**before, **given}
