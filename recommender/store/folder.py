"""The run folder: what was asked, and each trial as soon as it is measured, so that a killed run can go on.

RUN_DIR/job.json               what the trials were measured with (RunFile)
RUN_DIR/alone/KEY.json         what a candidate did in a start of its own
RUN_DIR/rounds.jsonl           every block of the rounds, as it ended
RUN_DIR/starts/KEY.N.json      what the load tests of a candidate's Nth start measured, as a Trial
RUN_DIR/trials/KEY.json        one Trial, of all starts
RUN_DIR/artifact/              the compiled model
RUN_DIR/logs/KEY.log           the output of that trial's server
RUN_DIR/recommendation.json    the ranking
RUN_DIR/report.html
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field

from modeldyno.base.errors import ConfigError
from modeldyno.base.files import mapped_output_errors
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.record import Record, read_record, write_record
from modeldyno.base.records.run import Candidate, InstanceType, Recommendation, Trial
from modeldyno.loadgen.spec.limit_names import named_limits
from modeldyno.loadgen.spec.mlperf import SERVER
from modeldyno.recommender.job.fields import shape_text
from modeldyno.recommender.job.job import Job, Server
from modeldyno.reports.page.page import write_report

LOCK_NAME = ".lock"
PACKAGES = ("modeldyno", "onnxruntime", "apache-tvm", "locust")


class RunFile(Record):
    """`job.json`: the job, and what else changes a measurement. A run folder has one."""

    schema_version: Literal[1, 2] = 2
    model: str = Field(description="the model file's name")
    model_digest: str = Field(description="BLAKE2b of the model file(s)")
    job: Job
    cpu_model: str
    usable_cores: int
    packages: dict[str, str] = Field(description="versions of what serves and what loads")
    sent_digest: str = Field(default="", description="BLAKE2b of request bodies and arrival times")
    provider: str = Field(default="local", description="where the candidates ran")
    library_digest: str | None = Field(default=None, description="the compiled model that was measured")

    def fixed(self) -> dict[str, object]:
        """What trials that are compared must have in common; candidates, limits and prices may change."""
        same = self.model_dump(include={"model_digest", "provider", "cpu_model", "usable_cores", "packages"})
        job = self.job
        fixed = {
            **same,
            "load": job.load.model_copy(update={"payload": {}, "trace": None, "shape": {}}),
            "payload or trace": self.sent_digest,
            "shape": {name: shape_text(shape) for name, shape in job.shapes.items()},
            "compile": job.compile.model_copy(update={"shapes": {}}),
            "server": job.server.model_copy(update={"startup_timeout_s": Server().startup_timeout_s}),
            "seed": job.seed,
        }
        # These loads are made for their limits; any other can be judged anew by others.
        made_for = job.load.find_rate is not None or job.load.scenario == SERVER
        return {**fixed, "limits": named_limits(job.limits)} if made_for else fixed


def run_file(
    model: str, model_digest: str, job: Job, sent_digest: str = "", *, provider: str = "local"
) -> RunFile:
    """Describe a run of this job from this machine as it is now; `sent_digest` is of what it sends."""
    host = host_facts()
    return RunFile(
        model=model,
        model_digest=model_digest,
        job=job,
        sent_digest=sent_digest,
        provider=provider,
        cpu_model=host.cpu_model,
        usable_cores=host.usable_cores,
        packages={name: host.packages[name] for name in PACKAGES if name in host.packages},
    )


class FolderStore:
    """A run folder that is ours alone; made by `open_store`."""

    def __init__(self, folder: Path, run: RunFile) -> None:
        self.folder = folder
        self.artifact = folder / "artifact"
        self.run = run

    @property
    def library(self) -> str:
        """Digest of the compiled model that is measured; empty where there is none."""
        return self.run.library_digest or ""

    def log(self, name: str) -> Path:
        """Where a child's output goes."""
        return self.folder / "logs" / f"{name}.log"

    def save(self, trial: Trial) -> None:
        """Keep a trial, whole or not at all.

        Raises:
            OutputError: the folder can't be written.
        """
        write_record(self._path(trial.candidate), trial)

    def finished(self, candidate: Candidate, instance: InstanceType) -> Trial | None:
        """Return the kept trial of this candidate, at the instance type's present price.

        None when there is none, or when the instance type has another shape by now.

        Raises:
            ConfigError: the trial's file is damaged.
        """
        return _kept(self._path(candidate), instance)

    def save_start(self, trial: Trial, number: int) -> None:
        """Keep what one start of a candidate measured, from 1 on, whole or not at all.

        Raises:
            OutputError: the folder can't be written.
        """
        write_record(self._start(trial.candidate, number), trial)

    def started(self, candidate: Candidate, instance: InstanceType, number: int) -> Trial | None:
        """Return what was kept of a start; as `finished`."""
        return _kept(self._start(candidate, number), instance)

    def use_library(self, digest: str) -> None:
        """Note which compiled model is measured; trials of another one are dropped."""
        if self.run.library_digest == digest:
            return
        for path in sorted(
            each for name in ("starts", "trials") for each in (self.folder / name).glob("*.json")
        ):
            if read_record(path, Trial).candidate.backend == "compiled":
                path.unlink()
        self.run = self.run.model_copy(update={"library_digest": digest})
        write_record(self.folder / "job.json", self.run)

    def publish(self, found: Recommendation) -> None:
        """Keep the ranking, and write the page.

        Raises:
            OutputError: the folder can't be written.
        """
        write_record(self.folder / "recommendation.json", found)
        write_report(self.folder)

    def _path(self, candidate: Candidate) -> Path:
        return self.folder / "trials" / f"{candidate.key}.json"

    def _start(self, candidate: Candidate, number: int) -> Path:
        return self.folder / "starts" / f"{candidate.key}.{number}.json"


def _kept(path: Path, instance: InstanceType) -> Trial | None:
    """Read a trial, and write it anew where the price has changed."""
    if not path.exists():
        return None
    trial = read_record(path, Trial)
    if trial.instance == instance:
        return trial
    if _shape(trial.instance) != _shape(instance):
        return None
    repriced = trial.model_copy(update={"instance": instance})
    write_record(path, repriced)
    return repriced


def check_folder(folder: Path, run: RunFile) -> RunFile:
    """Refuse a folder whose trials would not compare with this run's; writes nothing.

    Returns `run`, with the compiled model that the folder's trials were measured with.

    Raises:
        ConfigError: it holds something else, or a run of another model, load, compilation or machine.
    """
    earlier = _read_run(folder)
    if earlier is None:
        return run
    if earlier.schema_version == 1:
        raise ConfigError(
            f"{folder} is a run of an older version, whose trials were measured one after another: "
            "`dyno report` shows it, but new ones do not compare with them; give another --output"
        )
    before, now = earlier.fixed(), run.fixed()
    if not earlier.sent_digest and not run.job.load.chosen_bodies:
        # Of a version that sent random tensors alone, which model, shape and seed decide.
        before["payload or trace"] = now["payload or trace"]
    for name in dict.fromkeys((*before, *now)):
        then, asked = before.get(name), now.get(name)
        if then != asked:
            raise ConfigError(
                f"{folder} holds trials measured with another {name.replace('_', ' ')} "
                f"({_short(then)}; now {_short(asked)}), which do not compare with new ones: "
                f"give another --output, or delete {folder}"
            )
    return run.model_copy(update={"library_digest": earlier.library_digest})


@contextmanager
def open_store(folder: Path, run: RunFile) -> Iterator[FolderStore]:
    """Make the run folder, or go on with it, and keep other runs out of it meanwhile.

    Raises:
        ConfigError: see `check_folder`; or another run works in it right now.
        OutputError: the folder can't be written.
    """
    check_folder(folder, run)
    with mapped_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_NAME).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel drops it when this process dies
        except OSError as error:
            raise ConfigError(f"another dyno recommend works in {folder}: wait, or choose another") from error
        run = check_folder(folder, run)
        write_record(folder / "job.json", run)
        yield FolderStore(folder, run)


def _read_run(folder: Path) -> RunFile | None:
    path = folder / "job.json"
    if path.exists():
        return read_record(path, RunFile)
    if folder.is_dir() and any(entry.name != LOCK_NAME for entry in folder.iterdir()):
        raise ConfigError(f"{folder} is not empty and holds no run of dyno recommend; give another --output")
    return None


def _shape(instance: InstanceType) -> tuple[object, ...]:
    """What of an instance type changes a measurement; its price does not."""
    return (instance.architecture, instance.vcpus, instance.cores, instance.memory_gib, instance.gpu)


def _short(value: object) -> str:
    text = value.model_dump_json(exclude_defaults=True) if isinstance(value, Record) else str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
