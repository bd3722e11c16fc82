"""What every record is, how it is read and written, and the few that all others are made of."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from modeldyno.base.errors import ConfigError
from modeldyno.base.files import write_text
from modeldyno.base.records.fields import BaseModel, ConfigDict, Field, ValidationError


class Record(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


R = TypeVar("R", bound=Record)


class TensorSpec(Record):
    """One input or output of a model."""

    name: str
    dtype: str = Field(description="numpy's name, e.g. float32")
    shape: tuple[int | None, ...] = Field(description="None where more than one size goes")
    limits: tuple[tuple[int, int] | None, ...] = Field(
        default=(),
        description="smallest and largest size of each axis that is None in `shape`, where they are known; "
        "empty: of none",
    )

    @property
    def smallest(self) -> tuple[int, ...]:
        """The smallest shape: each free axis is 1, or its smallest size where there is one."""
        limits = self.limits or (None,) * len(self.shape)
        return tuple(
            size if size is not None else limit[0] if limit else 1
            for size, limit in zip(self.shape, limits, strict=True)
        )


class HostFacts(Record):
    """The machine that a number was taken on."""

    cpu_model: str
    architecture: str = Field(description="x86_64 or aarch64, as the kernel says")
    logical_cores: int
    usable_cores: int = Field(description="cores that this process may run on (affinity)")
    threads_per_core: int
    cpu_features: tuple[str, ...] = Field(description="extensions that compiled code may use")
    memory_gib: float
    kernel: str
    python: str
    instance_type: str | None = Field(description="the EC2 type the machine says it is, if it says so")
    gpus: tuple[str, ...] = ()
    packages: dict[str, str] = Field(default_factory=dict, description="versions that change a number")


class Estimate(Record):
    """A measured value with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    method: str = Field(description="how the interval was made")


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, whole or not at all."""
    write_text(path, record.model_dump_json(indent=2) + "\n")


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record.

    Raises:
        ConfigError: the file is missing, is no JSON, or does not follow the schema of `kind`.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ConfigError(f"{path} is no valid {kind.__name__}: {where}: {first['msg']}") from error
