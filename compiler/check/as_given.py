"""How far an artifact that computes in float32 is from its model in the numbers that it is written in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from modeldyno.base.errors import first_line
from modeldyno.compiler.check.compare import NOTHING, arrays_of, compare, named
from modeldyno.compiler.check.judgement import STEPS, Bounds, judge
from modeldyno.compiler.check.moves import Moves
from modeldyno.compiler.check.sample_runs import Sample, copied
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.source import Given, Source
from modeldyno.runtime.records.parity import Distance, Parity

_OVERFLOW = "numbers inside the file, or its answers, pass what its own format holds"


class AsGiven:
    """The distance, sample by sample; nothing where the model is float32 itself."""

    def __init__(self, source: Source, seed: int) -> None:
        self._source, self._seed = source, seed
        self._found: dict[str, Distance] = {}
        self.tolerance = source.given.tolerance if source.given else None
        self.unknown = ""

    @property
    def distances(self) -> tuple[Distance, ...]:
        """That of each output, the worst of all samples."""
        return () if self.unknown else tuple(self._found.values())

    def take(self, sample: Sample, found: dict[str, Any]) -> str:
        """Compare the artifact's outputs on a sample; say which is off by more than its format explains."""
        given = self._source.given
        if given is None or self.unknown or sample.expected is None:
            return ""
        try:
            wanted = arrays_of(given.run(copied(sample.feeds)))
        except Exception as error:  # whatever ONNX Runtime or torch raise of what they have no kernel for
            self.unknown = first_line(error)
            return ""
        got = named(wanted, found)
        for name, array in wanted.items():
            if not np.isfinite(_floats(array)).all() and np.isfinite(_floats(got[name])).all():
                self.unknown = _OVERFLOW
                return ""
        said = [
            self._note(given, sample, compare(name, each, got.get(name, NOTHING)), wanted)
            for name, each in wanted.items()
        ]
        return next(filter(None, said), "")

    def _note(self, given: Given, sample: Sample, row: Parity, wanted: dict[str, Array]) -> str:
        name = row.output
        before = self._found.get(name, Distance(output=name, max_rel=0.0, cosine=1.0))
        worst = Distance(
            output=name, max_rel=max(before.max_rel, row.max_rel), cosine=min(before.cosine, row.cosine)
        )
        self._found[name] = worst
        if given.tolerance is None or wanted[name].dtype.kind != "f":
            return ""
        moves = Moves(replace(self._source, reference=given.run), sample.feeds, wanted, self._seed)
        bounds = Bounds(given.tolerance)
        judged = judge(row, wanted[name], sample.feeds, bounds, lambda units: moves.change(name, units))
        if judged.verdict != "differs":
            return ""
        return (
            f"output {name!r} differs from the model in its own numbers by {row.max_rel:.2e} of its largest "
            f"value on {sample.title} (tolerance of its format {given.tolerance:.1e} + {STEPS} x "
            f"{judged.row.delta or 0:.1e}, cosine {row.cosine:.6f})"
        )


def _floats(array: Array) -> Array:
    return array if array.dtype.kind == "f" else np.zeros(0)
