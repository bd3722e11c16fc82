"""Whether the requests of a model may be joined: its rows must not depend on one another.

A proof from the model's graph says so (`base.rowflow`), or a user's word where none refutes it. A trial on
rows of numbers can only refute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from modeldyno.base.records.record import TensorSpec
from modeldyno.base.rowflow.records import Place, Verdict
from modeldyno.runtime.kinds import KINDS, WHOLE_KINDS, Kind, draw
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.wire.npy import shape_text

_SEED = 0
# Other code paths of a library for other numbers of rows round otherwise; rows that depend on one another
# differ by more than that.
_TOLERANCES = {"float16": 3e-2, "float32": 1e-3, "float64": 1e-6}
_FIRST = KINDS[:2]  # normal numbers, and 30 times as large
Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Decision:
    """Why requests are not joined (`refusal`), or why they may be (`reason`).

    `equal` are the dimensions of inputs that must have one size in a request that is joined.
    """

    refusal: str = ""
    reason: str = ""
    equal: tuple[tuple[Place, ...], ...] = ()


def decide(model: ServedModel, verdict: Verdict, *, given: bool) -> Decision:
    """Decide by shapes, then by the verdict on the graph, then by a trial; `given` is the user's word."""
    if refusal := _fixed(model):
        return Decision(refusal)
    if verdict.refuted:
        return Decision(f"that rows are independent is refuted by its graph: {verdict.cause}")
    if not verdict.proved and not given:
        return Decision(
            f"that rows are independent is unproved: {verdict.cause}. "
            "Where you know that they are, `rows_independent=True` joins requests"
        )
    refusal = why_not_joined(model, _FIRST if verdict.proved else (*KINDS, *WHOLE_KINDS))
    if refusal:
        return Decision(refusal)
    if verdict.proved:
        return Decision(reason="proved by its graph", equal=verdict.equal)
    return Decision(reason=f"as `rows_independent` says; unproved: {verdict.cause}", equal=verdict.equal)


def why_not_joined(model: ServedModel, kinds: Sequence[Kind] = _FIRST) -> str | None:
    """Say why requests can't be joined, or None where nothing was found against it.

    The shapes must be free in the first axis; then single rows are run alone and in pairs: of one kind of
    numbers and the next, so that a scale taken from both is seen, and twice the same. A kind that the model
    refuses says nothing, but for the first.
    """
    if refusal := _fixed(model):
        return refusal
    rows = [_made(model, kind, number) for number, kind in enumerate(kinds)]
    alone: list[Rows | None] = []
    for row in rows:
        try:
            alone.append(model.run(row))
        except Exception as error:  # a model may raise anything on numbers that mean nothing to it
            if not alone:
                return f"it fails on one or two rows of random numbers: {error}"
            alone.append(None)
    for one, two in _pairs(len(rows)):
        first, second = alone[one], alone[two]
        if first is None or second is None:
            continue
        both = {name: np.concatenate([rows[one][name], rows[two][name]]) for name in rows[one]}
        try:
            together = model.run(both)
        except Exception as error:
            return f"it fails on one or two rows of random numbers: {error}"
        for spec in model.signature.outputs:
            name, found = spec.name, together[spec.name]
            if found.shape[:1] != (2,) or not _same(found, (first[name], second[name])):
                return f"rows of {name!r} are not those that they are alone: they depend on one another"
    return None


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    yield from pairwise(range(count))
    for kind in range(2, count):
        yield kind, 0
        yield kind, kind


def _fixed(model: ServedModel) -> str | None:
    if model.signature.why_alone:
        return model.signature.why_alone
    for spec in (*model.signature.inputs, *model.signature.outputs):
        if not spec.shape or spec.shape[0] is not None:
            return f"{spec.name!r} has the fixed shape {shape_text(spec.shape)}"
    return None


def _made(model: ServedModel, kind: Kind, number: int) -> Rows:
    rng = np.random.default_rng([_SEED, number])
    return {spec.name: draw(kind, rng, _shape(spec), spec.dtype) for spec in model.signature.inputs}


def _shape(spec: TensorSpec) -> tuple[int, ...]:
    return (1, *spec.smallest[1:])


def _same(found: np.ndarray, rows: tuple[np.ndarray, np.ndarray]) -> bool:
    for row, want in zip(np.split(found, 2), rows, strict=True):
        if row.shape != want.shape:
            return False
        tolerance = _TOLERANCES.get(str(want.dtype), 0.0)
        finite = np.abs(want[np.isfinite(want)]) if tolerance else want
        scale = float(np.max(finite, initial=0.0)) if tolerance else 0.0
        if not np.allclose(row, want, rtol=tolerance, atol=tolerance * scale, equal_nan=tolerance > 0):
            return False
    return True
