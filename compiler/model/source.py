"""The source model as the pipeline sees it, whichever front end read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeldyno.base.errors import ModelError
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.input_roles import Facts
from modeldyno.compiler.precision.formats import FLOAT32
from modeldyno.runtime.records.origin import Road


@dataclass(frozen=True)
class UserInputs:
    """One record of the user's own inputs, by name; `digest` is that of its file."""

    name: str
    digest: str
    feeds: dict[str, Array]


@dataclass(frozen=True)
class Given:
    """The source model in the numbers that it is written in, where compiled code computes in others.

    `run` gives its outputs, as the artifact types them. They may be off by `tolerance` x the largest value;
    None: how far they are off is told, and not judged.
    """

    run: Callable[[dict[str, Array]], dict[str, Array]]
    tolerance: float | None


@dataclass(frozen=True)
class Source:
    """A model with fixed shapes, ready to be imported.

    `reference` runs the source model itself on named inputs: what the artifact is checked against. Where this
    import path fails, `otherwise` gives the same model by the next one, for the error it is given.
    Where the source is an ONNX model, `model` is its simplified form that parts can be cut from, and
    `simplify` does the same to a part, and `reference_of` runs one as `reference` runs the whole. `feeds`
    gives the only inputs that parity is checked on; None draws several kinds, by what `facts` says of the
    inputs (None: nothing is known). `records` are the user's own, which are checked too, or with
    `only_records` alone. `precision` says in the manifest's words what is computed in; where the model is
    written in other numbers, `given` is the model in those, and all else is of its float32 form. `rounded`
    names whole numbers that floats are rounded to: one step off is rounding the other way. `maker` names the
    operator that gives an output, where `model` does not tell.
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
    reference_of: Callable[[Any], Callable[[dict[str, Array]], dict[str, Array]]] | None = None
    feeds: Callable[[int], dict[str, Array]] | None = None
    facts: Callable[[], Facts] | None = None
    records: tuple[UserInputs, ...] = ()
    only_records: bool = False
    precision: str = FLOAT32.name
    given: Given | None = None
    maker: Callable[[str], str] | None = None
    rounded: frozenset[str] = frozenset()

    def input_facts(self) -> Facts:
        """Give what is known of the inputs."""
        return self.facts() if self.facts is not None else Facts()

    def release(self) -> None:
        """Give back what running the reference keeps in memory."""
        for each in (self.reference, self.given.run if self.given else None):
            release = getattr(each, "release", None)
            if release is not None:
                release()


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
