"""Every block of a selection, on disk as soon as it ends: a killed run goes on behind the last whole line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from modeldyno.base.files import mapped_output_errors
from modeldyno.base.records.record import Record
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.records import BlockRecord, block_of, block_record
from modeldyno.trials.compare.taint import TaintLimits

Stage = Literal["screening", "finals"]


class _Header(Record):
    schema_version: Literal[1] = 1
    measured: str
    """What is measured, and how: blocks of another selection are not gone on with."""


class _Line(Record):
    stage: Stage
    block: BlockRecord | None = None
    limits: dict[str, float] | None = None
    """Of taint, as they were fixed before the first block."""


@dataclass
class Ledger:
    """The blocks of one selection, in a file of JSON lines."""

    path: Path
    measured: str
    blocks: dict[Stage, list[Block]] = field(default_factory=lambda: {"screening": [], "finals": []})
    taint: TaintLimits | None = None
    """None: no block was measured yet."""

    def open(self) -> None:
        """Read what an earlier run of the same selection left; anything else is begun anew.

        Raises:
            OutputError: the file can't be written.
        """
        lines = list(_whole_lines(self.path))
        with mapped_output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not lines or _header(lines[0]) != self.measured:
                header = _Header(measured=self.measured).model_dump_json()
                self.path.write_text(header + "\n")
                return
            # A line that was cut short by a kill is not to be written on to.
            self.path.write_text("".join(line + "\n" for line in lines))
        for line in lines[1:]:
            with suppress(ValidationError):
                found = _Line.model_validate_json(line)
                if found.block is not None:
                    self.blocks[found.stage].append(block_of(found.block))
                if found.limits is not None:
                    self.taint = TaintLimits(**found.limits)

    def add(self, stage: Stage, block: Block) -> None:
        """Keep a block.

        Raises:
            OutputError: the file can't be written.
        """
        self.blocks[stage].append(block)
        self._write(_Line(stage=stage, block=block_record(block)))

    def fix_limits(self, limits: TaintLimits) -> None:
        """Keep by what a block is told to be disturbed, before the first one."""
        self.taint = limits
        self._write(_Line(stage="screening", limits=asdict(limits)))

    def _write(self, line: _Line) -> None:
        with mapped_output_errors(self.path), self.path.open("a") as stream:
            stream.write(line.model_dump_json(exclude_none=True) + "\n")

    @property
    def next_round(self) -> int:
        """Number of the next round of any stage."""
        return 1 + max((block.round for block in self.all), default=-1)

    @property
    def next_epoch(self) -> int:
        """Number of the next start: a run that goes on begins with new servers."""
        return 1 + max((block.epoch for block in self.all), default=-1)

    @property
    def all(self) -> list[Block]:
        """The blocks of every stage."""
        return [*self.blocks["screening"], *self.blocks["finals"]]


def blocks_in(path: Path) -> int:
    """How many blocks a ledger holds."""
    return sum('"block"' in line for line in _whole_lines(path))


def _whole_lines(path: Path) -> Iterator[str]:
    with suppress(FileNotFoundError):
        text = path.read_text()
        for line in text[: text.rfind("\n") + 1].splitlines():
            with suppress(ValueError):
                json.loads(line)
                yield line


def _header(line: str) -> str:
    try:
        return _Header.model_validate_json(line).measured
    except ValidationError:
        return ""
