"""What was measured, kept for later compiles: one JSON record a line, the last of a kernel counts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from modeldyno.base.errors import OutputError
from modeldyno.base.files import mapped_output_errors
from modeldyno.base.host.cache_folder import cache_folder
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.record import Record
from modeldyno.compiler.kernels.choice import Choice, Workload, candidates
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.compiler.tuning.revision import KERNELS_REVISION

Warn = Callable[[str], None]


class Failure(Record):
    """A candidate that could not be measured."""

    choice: dict[str, Any]
    reason: str


class TuningRecord(Record):
    """The outcome of one search: for this kernel, target and toolchain, this choice."""

    schema_version: Literal[1] = 1
    workload: dict[str, Any]
    target: dict[str, Any] = Field(description="processor, features, and the facts that schedules go by")
    toolchain: dict[str, str] = Field(description="versions of TVM and of the kernels")
    choice: dict[str, Any]
    median_us: float = Field(gt=0, description="of one call with the choice")
    default_us: float = Field(gt=0, description="of one call with the choice made without measuring")
    spread: float = Field(description="quartile distance of choice / default over the rounds")
    rounds: int = Field(description="rounds in which both were measured, one after the other")
    tried: int = Field(description="candidates that have been built, from the head of their list")
    candidates: int = Field(description="length of that list")
    failed: tuple[Failure, ...] = ()
    created_at: str
    cpu_model: str = Field(description="the machine that it was measured on")

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to try."""
        return self.tried >= self.candidates


def default_path() -> Path:
    """Where the records lie: `modeldyno/tuning.jsonl` in the user's cache folder."""
    return cache_folder() / "tuning.jsonl"


def target_key(target: CompileTarget) -> dict[str, Any]:
    """What of a target decides how fast a kernel is."""
    return {
        "triple": target.triple,
        "cpu": target.cpu,
        "features": sorted(target.features),
        "attributes": sorted(target.attributes),
        "machine": asdict(target.machine),
    }


def toolchain_key() -> dict[str, str]:
    """What of the toolchain decides how fast a kernel is."""
    return {
        "apache-tvm": host_facts().packages.get("apache-tvm", "unknown"),
        "kernels": KERNELS_REVISION,  # times that were measured with other kernels say nothing
    }


class Records:
    """The records for one target and this toolchain. `path` None keeps them in memory alone."""

    def __init__(self, path: Path | None, target: CompileTarget, warn: Warn) -> None:
        self.path = path
        self._target, self._toolchain = target_key(target), toolchain_key()
        self._machine = target.machine
        self._found: dict[str, TuningRecord] = {}
        self._sound: dict[str, bool] = {}  # whether a record's choice is a candidate, where that was asked
        if path is not None:
            self._read(path, warn)

    def find(self, workload: Workload) -> TuningRecord | None:
        """Give the latest record of a kernel whose choice is still one of its candidates."""
        key = _canonical(workload.record())
        record = self._found.get(key)
        if record is not None and key not in self._sound:
            self._sound[key] = self._is_candidate(workload, record)
        return record if record is not None and self._sound[key] else None

    def add(self, record: TuningRecord) -> None:
        """Keep a record, in the file too.

        Raises:
            OutputError: the file can't be written.
        """
        key = _canonical(record.workload)
        self._found[key] = record
        self._sound.pop(key, None)
        if self.path is not None:
            append_line(self.path, record.model_dump_json())

    def new(self, **measured: Any) -> TuningRecord:
        """Make a record for this target and toolchain."""
        return TuningRecord(target=self._target, toolchain=self._toolchain, **measured)

    def _is_candidate(self, workload: Workload, record: TuningRecord) -> bool:
        # A file can say anything: tiles that nobody would try could make code of any size.
        try:
            return Choice.from_record(record.choice) in candidates(workload, self._machine)
        except TypeError:
            return False

    def _read(self, path: Path, warn: Warn) -> None:
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            warn(f"tuning records {path} can't be read ({error.strerror}): compiled without them")
            return
        damaged = sum(not self._take(line) for line in lines if line.strip())
        if damaged:
            warn(f"tuning records {path}: {damaged} damaged line{'s' * (damaged > 1)} ignored")

    def _take(self, line: bytes) -> bool:
        """Keep what a line says if it is of this target and toolchain; False when it is damaged."""
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                return False
            if any(values[key] != _plain(mine) for key, mine in self._environment()):
                return True
            record = TuningRecord.model_validate(values)
        except (ValueError, KeyError, RecursionError, ValidationError):
            return False
        self._found[_canonical(record.workload)] = record
        return True

    def _environment(self) -> tuple[tuple[str, Any], ...]:
        return ("target", self._target), ("toolchain", self._toolchain)


def append_line(path: Path, line: str) -> None:
    """Append one line in one write: of two processes at once, each leaves its line whole.

    A last line that was cut off is ended first, so that it spoils no other.

    Raises:
        OutputError: the file can't be written.
    """
    with mapped_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            cut = False
            if size:
                stream.seek(size - 1)
                cut = stream.read(1) != b"\n"
            stream.write(b"\n" * cut + line.encode() + b"\n")


def check_writable(path: Path) -> None:
    """Refuse a place for records that can't be written, before minutes are spent on measuring.

    Raises:
        OutputError: with the way out in it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write the tuning records {path}: {error.strerror or error}",
            field="tuning_records",
            hint="`tuning_records` sets another place",
        ) from error


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
