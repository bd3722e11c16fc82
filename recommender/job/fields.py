"""The kinds of values that fields of a job have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from modeldyno.compiler.model.shapes import parse_size

FOLDER = "folder"
"""Key in the validation context: the job file's folder, which relative paths start from."""

Count = Annotated[int, Field(gt=0, le=1024)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def _split(value: Any) -> Any:
    """Take a text as the flag `--shape` has it apart; one number is a shape of one dimension."""
    if isinstance(value, str):
        return tuple(value.split(",")) if value else ()
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if value is None:
        raise ValueError("a size is missing; in { } write a shape in brackets or quotes: [1..32, 3]")
    return tuple(value) if isinstance(value, list) else value


def _size(value: int | str) -> int | str:
    parse_size(str(value))
    return value.strip() if isinstance(value, str) else value


Size = Annotated[int | str, AfterValidator(_size)]
Shape = Annotated[tuple[Size, ...], BeforeValidator(_split)]
Shapes = dict[str, Shape]


def shape_text(shape: Sequence[int | str]) -> str:
    """Write a shape as the flag `--shape` takes it."""
    return ",".join(map(str, shape))


def _existing(path: Path, info: ValidationInfo) -> Path:
    """Of a job file: the absolute path. What is read back from a run folder stays as it was."""
    if not info.context or FOLDER not in info.context:
        return path
    found = (Path(info.context[FOLDER]) / path).resolve()
    if not found.exists():
        raise ValueError(f"there is no file {found}")
    return found


JobPath = Annotated[Path, AfterValidator(_existing)]
"""A path that is relative to the job file."""
