"""What `dyno recommend` is asked to do: `job.yaml`. Every field has a default, so an empty job works.

docs/job.md is the reference; its tables are made from the descriptions here (recommender.job.reference).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from modeldyno.base.records.record import Record
from modeldyno.base.records.run import Limits
from modeldyno.base.records.server import ServerLimits
from modeldyno.base.settings import described
from modeldyno.compiler.model.shapes import Size, parse_shapes
from modeldyno.compiler.options import Choices
from modeldyno.loadgen.spec.mlperf import SERVER
from modeldyno.recommender.job.fields import FOLDER, Count, JobPath, Seconds, Shapes
from modeldyno.recommender.job.find_rate import FindRate
from modeldyno.recommender.job.load_section import KINDS, Load
from modeldyno.recommender.job.traffic_section import Traffic
from modeldyno.recommender.job.yaml_lines import FieldError, load_yaml_record

__all__ = ["CandidateSpace", "Compile", "FindRate", "Job", "Load", "Server", "load_job", "with_shapes"]

Backend = Literal["onnxruntime", "compiled"]
Batch = Annotated[int, Field(gt=0, le=4096)]
DelayMs = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]


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
        description="threads inside one inference; auto: the instance's vCPUs, shared out to the workers of "
        "all processes",
    )
    workers: tuple[Count, ...] = Field(
        default=(1,), min_length=1, description="inferences that may run side by side in each server process"
    )
    processes: tuple[Annotated[int, Field(gt=0, le=256)], ...] = Field(
        default=(1,),
        min_length=1,
        description="server processes behind one port, each with its share of the instance's vCPUs",
    )
    max_batch: tuple[Batch, ...] = Field(
        default=(1,),
        min_length=1,
        description="rows that requests which wait together may be joined to in one inference; 1 joins none. "
        "More needs a model whose first dimension is open: a range in `shape`",
    )
    batch_delay_ms: tuple[DelayMs, ...] = Field(
        default=(0.0,),
        min_length=1,
        description="how long a request may wait for others to join, where max_batch is above 1; with 0 it "
        "waits only for a free worker",
    )


@described
class Compile(Record, Choices):  # type: ignore[misc] # a Record is frozen too
    """How the model is compiled; the defaults are those of `dyno compile`."""

    model_config = ConfigDict(allow_inf_nan=False)

    target: str = Field(
        default="host",
        description="what to compile for, and run here: a name of `dyno targets`, or an instance type",
    )
    shapes: Shapes = Field(default_factory=dict, description="older name of the job's `shape`")
    tuning_records: bool = Field(
        default=True, description="use what was measured before, and keep what is measured; false: neither"
    )


@described
class Server(Record, ServerLimits):  # type: ignore[misc] # a Record is frozen too
    """How the model servers are started, all alike; what is compared is in `candidates`."""

    model_config = ConfigDict(allow_inf_nan=False)

    startup_timeout_s: Seconds = Field(
        default=120.0, description="seconds from process start to ready; longer is a failure"
    )


class Job(Record):
    """Everything that a run is asked to do."""

    shape: Shapes = Field(
        default_factory=dict,
        description="input name to its shape, where the model leaves it open; a size is as `dyno compile` has"
        " it: 8, exactly 1|4|8, any of 1..32, or 1..32@1|8|32 with those to compile",
    )
    candidates: CandidateSpace = Field(default=CandidateSpace(), description="what is compared")
    load: Load = Field(default=Load(), description="what each candidate is sent")
    limits: Limits = Field(default=Limits(), description="what a candidate must meet to be ranked")
    compile: Compile = Field(default=Compile(), description="how the model is compiled")
    server: Server = Field(default=Server(), description="how the servers are started")
    catalog: JobPath | None = Field(
        default=None, description="CSV with more, or other, instance types; relative to the job file"
    )
    traffic: Traffic | None = Field(
        default=None,
        description="how many requests there are: a month is priced. Without a `load`, each candidate is "
        "searched for the highest rate that meets the limits on latency, as by `find_rate: {}`",
    )
    seed: int = Field(default=0, ge=0, description="of the input data, the arrivals and the order of trials")

    @model_validator(mode="after")
    def _searched_for_traffic(self) -> Job:
        """Without a load of its own, traffic is asked for the highest rate of each candidate."""
        load, asked = self.load, (*KINDS, "trace", "scenario")
        if self.traffic and self.limits.latency_ms and all(getattr(load, name) is None for name in asked):
            given = {name: getattr(load, name) for name in load.model_fields_set}
            object.__setattr__(self, "load", Load(**{**given, "find_rate": FindRate()}))
            self.__pydantic_fields_set__.add("load")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Job:
        if both := sorted(self.shape.keys() & self.compile.shapes.keys()):
            raise FieldError("compile.shapes", f"{both[0]} has a shape in `shape` already: leave it out here")
        if self.load.find_rate is not None and not self.limits.latency_ms:
            raise FieldError(
                "load.find_rate",
                "find_rate searches for the rate at which latency meets a limit: give "
                "limits.p99_ms (or another percentile's)",
            )
        if self.load.scenario == SERVER and self.limits.p99_ms is None:
            raise FieldError("load.scenario", "Server has a latency bound: give limits.p99_ms")
        return self

    @property
    def sizes(self) -> dict[str, tuple[Size, ...]]:
        """The shapes that were given, by input."""
        return parse_shapes(self.shapes)

    @property
    def shapes(self) -> Mapping[str, tuple[int | str, ...]]:
        """The same as they were written."""
        return {**self.compile.shapes, **self.shape}


def load_job(path: Path) -> Job:
    """Read a job file; relative paths in it start from its folder.

    Raises:
        ConfigError: with file, line and path of every problem; an unknown key with the nearest known one.
    """
    return load_yaml_record(path, Job, {FOLDER: path.parent})


def with_shapes(job: Job, given: Mapping[str, tuple[str, ...]]) -> Job:
    """Take shapes of the flag `--shape`, which override those of the job.

    Raises:
        ConfigError: a size is none.
    """
    parse_shapes(given)
    earlier = {name: shape for name, shape in job.compile.shapes.items() if name not in given}
    changed = {
        "shape": {**job.shape, **given},
        "compile": job.compile.model_copy(update={"shapes": earlier}),
    }
    return job.model_copy(update=changed)
