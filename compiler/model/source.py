"""The source model as the pipeline sees it, whichever front end read it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from modeldyno.base.errors import ConfigError, ModelError
from modeldyno.base.records.run import TensorSpec
from modeldyno.compiler.check.roles import Facts
from modeldyno.runtime.records.manifest import Road

Array = npt.NDArray[Any]
Shapes = dict[str, tuple[int, ...]]
CHUNK = 1 << 20
# One input of more numbers than this is a slip of the pen: as float32 it would take 4 GiB.
MOST_ELEMENTS = 1 << 30


@dataclass(frozen=True)
class UserInputs:
    """One record of the user's own inputs, by name; `digest` is that of its file."""

    name: str
    digest: str
    feeds: dict[str, Array]


@dataclass(frozen=True)
class Source:
    """A model with fixed shapes, ready to be imported.

    `reference` runs the source model itself on named inputs: what the artifact is checked against. Where this
    road into the compiler fails, `otherwise` gives the same model by the next one, for the error it is given.
    Where the source is an ONNX model, `model` is its simplified form that parts can be cut from, and
    `simplify` does the same to a part. `feeds` gives the only inputs that parity is checked on; None draws
    several kinds, by what `facts` says of the inputs (None: what `model` says). `records` are the user's own,
    which are checked too, or with `only_records` alone.
    """

    name: str
    frontend: str
    digest: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    import_relax: Callable[[], Any]
    reference: Callable[[dict[str, Array]], dict[str, Array]]
    reference_name: str
    road: Road
    otherwise: Callable[[Exception], Source] | None = None
    model: Any = None
    simplify: Callable[[Any], Any] | None = None
    feeds: Callable[[int], dict[str, Array]] | None = None
    facts: Callable[[], Facts] | None = None
    records: tuple[UserInputs, ...] = ()
    only_records: bool = False

    def release(self) -> None:
        """Give back what running the reference keeps in memory."""
        release = getattr(self.reference, "release", None)
        if release is not None:
            release()


def digest_files(paths: Iterable[Path]) -> str:
    """BLAKE2b-256 over the contents of files, in the order given."""
    state = hashlib.blake2b(digest_size=32)
    for path in paths:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                state.update(chunk)
    return state.hexdigest()


def check_model_file(path: Path) -> None:
    """Say what is wrong with a path before any heavy library looks at it.

    Raises:
        ModelError: missing, a folder, or empty.
    """
    if not path.exists():
        raise ModelError(f"model not found: {path}")
    if path.is_dir():
        raise ModelError(f"{path} is a folder; expected an .onnx or .pt2 file")
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty (0 bytes)")


def fix_shapes(declared: dict[str, tuple[int | None, ...]], given: Shapes) -> Shapes:
    """Combine the model's declared input shapes with those the user gave.

    Raises:
        ConfigError: a shape for an unknown input, of another rank, or against a fixed dimension.
        ModelError: an input has no fixed shape and the user gave none.
    """
    unknown = sorted(given.keys() - declared.keys())
    if unknown:
        known = ", ".join(declared)
        raise ConfigError(
            f"`shapes` {unknown[0]}: the model has no such input; its inputs are: {known}", field="shapes"
        )
    fixed = {name: _fix_shape(name, shape, given.get(name)) for name, shape in declared.items()}
    for name, shape in fixed.items():
        if math.prod(shape) > MOST_ELEMENTS:
            raise ConfigError(
                f"input {name!r} of shape {show_shape(shape)} would hold {math.prod(shape):.1e} numbers; "
                f"the most that is compiled for is {MOST_ELEMENTS:.1e}"
            )
    return fixed


def _fix_shape(name: str, declared: tuple[int | None, ...], given: tuple[int, ...] | None) -> tuple[int, ...]:
    shown = show_shape(declared)
    if given is None:
        if any(size is None for size in declared):
            example = ",".join("1" if size is None else str(size) for size in declared)
            raise ModelError(
                f"input {name!r} has no fixed shape ({shown})",
                field="shapes",
                hint=f"give one, e.g. `shapes` '{name}={example}'",
            )
        return tuple(size for size in declared if size is not None)
    if len(given) != len(declared):
        raise ConfigError(
            f"`shapes` {name}={','.join(map(str, given))} has {len(given)} dimensions, the model's input has "
            f"{len(declared)} ({shown})",
            field="shapes",
        )
    for size, wanted in zip(declared, given, strict=True):
        if size is not None and size != wanted:
            raise ConfigError(
                f"`shapes` {name}={','.join(map(str, given))} goes against the model's {shown}",
                field="shapes",
            )
    return given


def show_shape(shape: Iterable[int | None]) -> str:
    """Word a shape; `?` where any size goes."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
