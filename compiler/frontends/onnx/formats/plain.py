"""A file in other numbers than float32, as the float32 model that is compiled of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.onnx.formats.dynamic import DYNAMIC
from modeldyno.compiler.frontends.onnx.formats.pairs import without_pairs
from modeldyno.compiler.frontends.onnx.formats.refused import has_narrow_weights
from modeldyno.compiler.frontends.onnx.formats.scales import is_dequantize, is_quantize
from modeldyno.compiler.frontends.onnx.formats.widen import narrow_kinds, nodes_of, widened
from modeldyno.compiler.frontends.onnx.reference import file_as_given
from modeldyno.compiler.frontends.onnx.weights import Loaded, load
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.source import Given
from modeldyno.compiler.precision.formats import BFLOAT16, QUANTISED, coarsest, precision_words

Simplify = Callable[[Path, onnx.ModelProto, Mapping[str, Array]], onnx.ModelProto]


@dataclass(frozen=True)
class Wide:
    """A file as it was read, in float32 but for pairs of quantise and dequantise; `kinds`: what it was in."""

    loaded: Loaded
    kinds: frozenset[str]


@dataclass(frozen=True)
class Plain:
    """A model in float32. `kinds` says what it was in, `rounded` which whole numbers are rounded floats."""

    model: onnx.ModelProto
    mapped: dict[str, Array]
    kinds: frozenset[str]
    rounded: frozenset[str] = frozenset()

    @property
    def precision(self) -> str:
        """What the compiled code computes in, in the manifest's words."""
        return precision_words(self.kinds)

    def given(self, path: Path) -> Given | None:
        """Give the file in its own numbers; None where those are float32."""
        if not self.kinds:
            return None
        if BFLOAT16.name in self.kinds:
            return Given(_no_bfloat16, None)
        narrow = None if QUANTISED in self.kinds else coarsest(self.kinds)
        return Given(file_as_given(path), narrow.tolerance if narrow else None)


def read_wide(path: Path) -> Wide:
    """Read a file; float16 and bfloat16 become float32.

    Raises:
        ModelError: as `load`.
    """
    loaded = load(path)
    kinds = narrow_kinds(loaded.model)
    return Wide(widened(loaded) if kinds else loaded, kinds)


def plain(path: Path, model: onnx.ModelProto, wide: Wide, simplify: Simplify) -> Plain:
    """Write the pairs of a model as arithmetic of floats; `simplify` folds constants, weights above all.

    Raises:
        ModelError: ONNX Runtime can't load the model.
    """
    mapped = wide.loaded.mapped
    if not is_quantised(model) or has_narrow_weights(model):
        return Plain(model, mapped, wide.kinds)
    folded = simplify(path, model, mapped)
    return Plain(folded, {}, wide.kinds | {QUANTISED}, without_pairs(folded))


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether a model has nodes that quantise or dequantise."""
    functions = (node for each in model.functions for node in nodes_of(each.node))
    every = (*nodes_of(model.graph.node), *functions)
    return any(is_quantize(node) or is_dequantize(node) or node.op_type == DYNAMIC for node in every)


def _no_bfloat16(_feeds: dict[str, Array]) -> dict[str, Array]:
    raise ModelError("ONNX Runtime does not compute in bfloat16 on processors")
