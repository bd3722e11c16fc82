"""What `dyno recommend` is asked to do: `job.yaml`. Every field has a default, so an empty job works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dyno.errors import ConfigError
from dyno.records import Limits, LoadSpec, Phase, Record, Stairs
from loadgen.shapes import planned_s
from loadgen.stop_rules import check_rules
from recommender.yaml_lines import load_yaml_record

Backend = Literal["onnxruntime", "compiled"]
Count = Annotated[int, Field(gt=0, le=1024)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]

DEFAULT_USERS = (1, 2, 4)
DEFAULT_LONGEST_S = 60.0


class CandidateSpace(Record):
    """The configurations to measure: every combination of these lists."""

    backends: tuple[Backend, ...] = Field(
        default=("onnxruntime", "compiled"),
        min_length=1,
        description="onnxruntime is the uncompiled baseline: it is measured even when not named",
    )
    instance_types: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="names or globs of the catalogue (`dyno instances`); left out: a few small ones",
    )
    threads: tuple[Count | Literal["auto"], ...] = Field(
        default=("auto",),
        min_length=1,
        description="threads inside one inference; auto: the instance's vCPUs, shared out to the workers",
    )
    workers: tuple[Count, ...] = Field(
        default=(1,), min_length=1, description="inferences that may run side by side in one server"
    )


class Load(Record):
    """The load that each candidate gets: a load test per level of `users` or `rate_rps`, or one in stages."""

    users: tuple[Count, ...] | None = Field(
        default=None,
        min_length=1,
        description="closed loop: numbers of users who wait for each answer; 1, 2, 4 when no rate is given",
    )
    phases: tuple[Phase, ...] | None = Field(
        default=None,
        min_length=1,
        description="closed loop: one test whose users grow in number; each phase counts as a load level",
    )
    stairs: Stairs | None = Field(
        default=None,
        description="closed loop: one test with more users step by step; each step counts as a load level",
    )
    rate_rps: tuple[Rate, ...] | None = Field(
        default=None,
        min_length=1,
        description="open loop: requests a second, sent whether or not answers come",
    )
    arrival: Literal["constant", "poisson"] = Field(
        default="poisson", description="open loop only: how the sends are spaced"
    )
    warmup_s: float = Field(
        default=2.0, ge=0, le=3600, allow_inf_nan=False, description="seconds of load that are not counted"
    )
    duration_s: Seconds = Field(default=10.0, description="seconds of load that are counted")
    min_samples: int = Field(
        default=368,
        ge=0,
        description="measure on until so many requests have succeeded; p99 is stated from 368 samples",
    )
    max_duration_s: Seconds | None = Field(
        default=None,
        description="the longest measured window of one level, for min_samples; "
        "left out: 60 s, or duration_s where that is longer",
    )
    timeout_s: Seconds = Field(default=30.0, description="seconds after which a request is an error")
    stop_when: tuple[str, ...] = Field(
        default=(),
        description="rules that end a load test before its time, e.g. p99>50ms, errors>1%, flat",
    )

    @model_validator(mode="after")
    def _rules_that_can_be_met(self) -> Load:
        try:
            for spec in self.specs("", 0):
                check_rules(spec)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Load:
        if self.users is not None and self.rate_rps is not None:
            raise ValueError("users (closed loop) and rate_rps (open loop) exclude each other: give one")
        kinds = [
            name for name in ("users", "phases", "stairs", "rate_rps") if getattr(self, name) is not None
        ]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)} exclude each other: give one")
        lengths = sorted({"duration_s", "min_samples", "max_duration_s"} & self.model_fields_set)
        if lengths and kinds and kinds[0] in ("phases", "stairs"):
            raise ValueError(f"{kinds[0]} say how long they last: leave out {' and '.join(lengths)}")
        return self

    @model_validator(mode="after")
    def _not_shorter_than_its_least(self) -> Load:
        if self.max_duration_s is not None and self.max_duration_s < self.duration_s:
            raise ValueError(
                f"max_duration_s ({self.max_duration_s:g}) is shorter than duration_s ({self.duration_s:g})"
            )
        return self

    @property
    def longest_s(self) -> float:
        """Seconds that the measured window of one level lasts at the most."""
        return self.max_duration_s or max(DEFAULT_LONGEST_S, self.duration_s)

    def specs(self, url: str, seed: int) -> tuple[LoadSpec, ...]:
        """Return one LoadSpec for `url` per load test, in the order given."""
        fields = self.model_dump(exclude={"users", "phases", "stairs", "rate_rps", "max_duration_s"})
        common = LoadSpec(url=url, seed=seed, max_duration_s=self.longest_s, **fields)
        return tuple(common.model_copy(update=level) for level in self.levels())

    def levels(self) -> tuple[dict[str, Any], ...]:
        """Each load test as the fields of a LoadSpec: `users`, `phases`, `stairs` or `rate_rps`."""
        if self.phases is not None or self.stairs is not None:
            return ({"phases": self.phases or (), "stairs": self.stairs},)
        if self.rate_rps is not None:
            return tuple({"rate_rps": rate} for rate in self.rate_rps)
        return tuple({"users": users} for users in self.users or DEFAULT_USERS)

    @property
    def staged(self) -> LoadSpec | None:
        """The one test in stages, if that is what the candidates get."""
        spec = self.specs("", 0)[0]
        return spec if spec.staged else None

    def seconds(self) -> float:
        """Seconds of load of one candidate, warm-up included."""
        if staged := self.staged:
            return self.warmup_s + planned_s(staged)
        return len(self.levels()) * (self.warmup_s + self.duration_s)


class Compile(Record):
    """How the model is compiled."""

    target: str = Field(default="host", description="a name of `dyno targets`, or host")
    shapes: dict[str, tuple[Annotated[int, Field(gt=0)], ...]] = Field(
        default_factory=dict, description="input name to its fixed shape, where the model leaves it open"
    )
    fallback: Literal["onnxruntime"] | None = Field(
        default=None, description="where operators that can't be compiled run; None: compiling stops at them"
    )
    min_compiled: float | None = Field(
        default=None, ge=0, le=1, description="the least share of the FLOPs that must be compiled"
    )


class Server(Record):
    """How the model servers are started."""

    startup_timeout_s: Seconds = Field(
        default=120.0, description="seconds from process start to ready; longer is a failure"
    )


class Job(Record):
    """Everything that a run is asked to do."""

    candidates: CandidateSpace = CandidateSpace()
    load: Load = Load()
    limits: Limits = Limits()
    compile: Compile = Compile()
    catalog: Path | None = Field(
        default=None, description="CSV with more, or other, instance types; relative to the job file"
    )
    server: Server = Server()
    seed: int = Field(default=0, ge=0, description="of the input data, the arrivals and the order of trials")


def load_job(path: Path) -> Job:
    """Read a job file; a relative `catalog` is taken from the job file's folder.

    Raises:
        ConfigError: with file, line and path of every problem; an unknown key with the nearest known one.
    """
    job = load_yaml_record(path, Job)
    if job.catalog is None:
        return job
    catalog = (path.parent / job.catalog).resolve()
    if not catalog.is_file():
        raise ConfigError(f"{path}: catalog: there is no file {catalog}")
    return job.model_copy(update={"catalog": catalog})
