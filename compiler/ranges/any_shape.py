"""The source model at any size of its open axes: seeded inputs, padded or not, and what it makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from modeldyno.base.errors import DynoError, ModelError, first_line
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.model.fixed_shapes import Shapes
from modeldyno.compiler.model.shapes import Template
from modeldyno.runtime.kinds import Kind, draw
from modeldyno.runtime.sessions.axes import Feeds, Sizes, fill
from modeldyno.runtime.sessions.feeds import random_feeds

__all__ = ["AnyShape", "Feeds", "Sizes", "seeded_feeds"]


@dataclass(frozen=True)
class AnyShape:
    """The source model at any sizes of the template's axes."""

    family: Family
    template: Template
    seed: int
    target: str

    def feeds(self, sizes: Sequence[int], kinds: Sequence[Kind] = ()) -> Feeds:
        """Make seeded inputs: each of the next of `kinds` of numbers, in turn; the usual ones without any."""
        shapes = self.template.at(sizes)
        if not kinds:
            return seeded_feeds(shapes, self.family.dtypes, self.seed, self.family.divisors())
        rng = np.random.default_rng(self.seed)
        dtypes = zip(self.family.dtypes.items(), cycle(kinds), strict=False)
        made = {name: draw(kind, rng, shapes[name], dtype) for (name, dtype), kind in dtypes}
        return _usable(made, self.family.divisors())

    def run(self, feeds: Feeds) -> Feeds:
        """Run the source model; whatever it raises says which shapes it does not take."""
        try:
            return self.family.reference(feeds)
        except DynoError:
            raise
        except Exception as error:
            # Whatever ONNX Runtime, torch or the model's own code raise.
            shown = "; ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
            reason = first_line(error)
            raise ModelError(f"{self.family.name} does not take the shapes {shown}: {reason}") from error

    def padded(self, feeds: Feeds, sizes: Sequence[int]) -> Feeds:
        """Pad inputs with zeros as the runtime does."""
        shapes = self.template.at(sizes)
        made = {name: np.empty(shapes[name], array.dtype) for name, array in feeds.items()}
        for name, array in feeds.items():
            fill(made[name], array)
        return made


def seeded_feeds(
    shapes: Shapes, dtypes: Mapping[str, str], seed: int, divisors: frozenset[str] = frozenset()
) -> Feeds:
    """Make seeded inputs. Masks have a 1 in each row: where all is masked, a model has no defined answer.

    No whole number of the inputs `divisors` is zero.
    """
    specs = tuple(TensorSpec(name=name, dtype=dtype, shape=shapes[name]) for name, dtype in dtypes.items())
    return _usable(random_feeds(specs, seed), divisors)


def _usable(made: Feeds, divisors: frozenset[str]) -> Feeds:
    for name, array in made.items():
        if array.dtype.kind in "iub" and array.ndim and array.size:
            array[..., 0] = 1
        if array.dtype.kind in "iu" and name in divisors:
            array[array == 0] = 1
    return made
