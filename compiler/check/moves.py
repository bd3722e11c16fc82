"""How far a source model's outputs change when a sample is moved by a few units."""

from __future__ import annotations

from modeldyno.compiler.check.compare import NOTHING, arrays_of
from modeldyno.compiler.check.sample_runs import Feeds, copied
from modeldyno.compiler.check.sensitivity import RUNS, change, moved
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.source import Source


class Moves:
    """One sample, moved when that is first asked for."""

    def __init__(self, source: Source, feeds: Feeds, expected: dict[str, Array], seed: int) -> None:
        self._source, self._feeds, self._expected, self._seed = source, feeds, expected, seed
        self._known: dict[int, dict[str, float]] = {}

    def change(self, output: str, units: int) -> float:
        """Give the largest change of an output; 0 where no input is a float."""
        if units not in self._known:
            self._known[units] = dict.fromkeys(self._expected, 0.0)
            if any(array.dtype.kind == "f" for array in self._feeds.values()):
                self._run(self._known[units], units)
        return self._known[units][output]

    def _run(self, largest: dict[str, float], units: int) -> None:
        for number in range(RUNS):
            feeds = copied(moved(self._feeds, self._seed + number, units))
            try:
                found = arrays_of(self._source.reference(feeds))
            except Exception:  # whatever the model raises on what it takes otherwise: nothing to compare
                return
            for name, before in self._expected.items():
                largest[name] = max(largest[name], change(before, found.get(name, NOTHING)))
