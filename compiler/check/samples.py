"""The inputs that parity is checked on: several kinds, each drawn from what the graph says of an input.

    normal      what a model is fed as a rule: floats normal(0, 1), indices anywhere in their extent
    ends        indices, lengths and whole numbers near both ends of what they may be
    mask        masks of 0 and 1, or of 0 and -inf where they are added to scores
    image       an image of 0 to 255; unit image: of 0 to 1
    large       floats ten thousand times as large (half precision: 16 times)
    equal       all floats the same: ties everywhere; all bools true
    negative    floats below zero
    zeros       all floats zero, all bools false, indices and lengths the smallest
    tiny        floats a hundred thousand times smaller (half precision: 16 times)

Masks keep a 1 in each row: where all is masked, a model has no defined answer. No index stands twice where an
operator writes by it, and no divisor is zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.input_roles import Facts, Role
from modeldyno.runtime.sessions.feeds import is_array, random_feeds

Feeds = dict[str, Array]
NORMAL = "normal"
_FLOATS = ("large", "equal", "negative", "zeros", "tiny")
_SAME = {"equal": 0.75, "zeros": 0.0}
DRAWS = 4  # before a source model is said to refuse a kind
_DARING = 2  # of them
_MODEST = 100  # whole numbers that may become floats stay below
_UNMASKED = 0.7  # share


def kinds(specs: Sequence[TensorSpec], facts: Facts) -> tuple[str, ...]:
    """Name the kinds that tell something of these inputs, `normal` first, then those that tell most."""
    found = [NORMAL]
    roles = [facts.role(spec.name, spec.dtype) for spec in specs]
    letters = [np.dtype(spec.dtype).kind if is_array(spec) else "" for spec in specs]
    read = list(zip(letters, roles, strict=True))
    if any(role.kind == "image" for role in roles) or any(spec.dtype == "uint8" for spec in specs):
        found.append("image")
    if any(letter and letter in "iu" and role.kind not in ("unknown", "mask") for letter, role in read):
        found.append("ends")
    if any(role.kind == "mask" for role in roles):
        found.append("mask")
    if "f" in letters:
        found += _FLOATS
    else:
        found += ["equal"] if "b" in letters or any(role.kind == "mask" for role in roles) else []
        found += ["zeros"] if any(letters) else []
    if any(role.kind == "image" for role in roles):
        found.append("unit image")
    return tuple(found)


def draw(specs: Sequence[TensorSpec], facts: Facts, kind: str, seed: int, attempt: int = 0) -> Feeds:
    """Make one array per input. A later `attempt` is another draw, and a more careful one.

    The third keeps whole numbers in the lower half of what they may be, the fourth to 0 and 1.

    Raises:
        ConfigError: an input is no array.
    """
    plain = random_feeds(tuple(specs), seed + attempt)
    rng = np.random.default_rng([abs(seed), *kind.encode(), attempt])
    how = _Draw(kind, kind if attempt < _DARING else NORMAL, facts.divides, rng)
    roles = {spec.name: _careful(facts.role(spec.name, spec.dtype), attempt) for spec in specs}
    return {name: how.values(plain[name], role) for name, role in roles.items()}


def _careful(role: Role, attempt: int) -> Role:
    """Give a role with less room: something may be added to an index before it is used."""
    if attempt < _DARING or role.kind not in ("index", "length", "number", "whole"):
        return role
    if attempt > _DARING:
        return Role("unknown", divides=role.divides)
    return replace(role, extents=tuple(max(size // 2, 1) for size in role.extents))


@dataclass(frozen=True)
class _Draw:
    """How one sample is drawn; `whole` is the kind of its whole numbers."""

    kind: str
    whole: str
    divides: bool
    rng: np.random.Generator

    def values(self, plain: Array, role: Role) -> Array:
        """Give the values of one input; `plain` is what is drawn where nothing is known of it."""
        if plain.dtype.kind == "f":
            return self._floats(plain, role)
        if plain.dtype.kind == "b":
            return self._flags(plain, role)
        if plain.dtype.kind not in "iu":
            return plain
        values = self._whole_numbers(plain, role)
        return np.where(values == 0, np.ones_like(values), values) if role.divides else values

    def _floats(self, plain: Array, role: Role) -> Array:
        shape, half, rng = plain.shape, plain.dtype.itemsize < 4, self.rng
        if self.kind == NORMAL:
            return plain
        if self.kind == "mask" and role.kind == "mask":
            kept = _kept(shape, rng)
            values: Any = np.where(kept, 0.0, -np.inf) if role.added else kept
        elif self.kind in ("image", "unit image") and role.kind == "image":
            values = rng.integers(0, 256, shape) / (1 if self.kind == "image" else 255)
        elif self.kind in _SAME:
            values = np.full(shape, _SAME[self.kind])
        else:
            values = rng.standard_normal(shape)
            scale = {"large": 16 if half else 1e4, "tiny": 1 / 16 if half else 1e-5}.get(self.kind, 1.0)
            values = -abs(values) - 1e-3 if self.kind == "negative" else values * scale
        return np.asarray(values).astype(plain.dtype)

    def _flags(self, plain: Array, role: Role) -> Array:
        if role.kind == "mask" and self.kind != "equal":
            return self._mask(plain, self.kind)
        return np.full(plain.shape, self.kind == "equal") if self.kind in _SAME else plain

    def _mask(self, plain: Array, kind: str) -> Array:
        kept = _kept(plain.shape, self.rng)
        if kind == "zeros" and kept.ndim:
            kept[..., 1:] = False
        return np.asarray(kept | (kind == "equal")).astype(plain.dtype)

    def _whole_numbers(self, plain: Array, role: Role) -> Array:
        """Give whole numbers: by kind near the ends of what they may be, or anywhere."""
        if role.kind == "mask":
            return self._mask(plain, self.whole)
        if role.kind == "index":
            return _indices(plain, role, self.whole, self.rng)
        if self.whole == "zeros":
            return np.zeros_like(plain)
        if role.kind == "length":
            return _between(plain, 0, role.extents[0], self.whole, self.rng)
        return self._numbers(plain, role)

    def _numbers(self, plain: Array, role: Role) -> Array:
        if plain.dtype == np.uint8 and self.whole == "image":
            return np.asarray(self.rng.integers(0, 256, plain.shape)).astype(plain.dtype)
        if self.whole != "ends" or role.kind == "unknown":
            return plain
        return _cycled(plain, _boundaries(plain.dtype, role, self.divides), self.rng)


def _kept(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Say what a mask leaves in: most, and the first of each row."""
    kept = rng.random(shape) < _UNMASKED
    if kept.ndim and kept.size:
        kept[..., 0] = True
    return np.asarray(kept)


def _boundaries(dtype: Any, role: Role, divides: bool) -> Sequence[int]:
    limits = np.iinfo(dtype)
    signed = limits.min < 0
    if role.kind == "number":
        return [0, 1, 2, _MODEST, *([-1, -2, -_MODEST] if signed else [])]
    # The least number divided by -1 ends the process of the reference.
    least = [] if divides or not signed else [limits.min, limits.min + 1]
    # Half of what it holds: sums of two do not wrap around, which languages define in different ways.
    return [0, 1, 3, 7, limits.max // 2, *([-1, -3, -(limits.max // 2)] if signed else []), *least]


def _between(plain: Array, low: int, high: int, kind: str, rng: np.random.Generator) -> Array:
    if kind == "ends":
        near = [value for value in (low, low + 1, high - 1, high) if low <= value <= high]
        return _cycled(plain, near, rng)
    return np.asarray(rng.integers(max(low, 1), high + 1, plain.shape)).astype(plain.dtype)


def _cycled(plain: Array, values: Sequence[int], rng: np.random.Generator) -> Array:
    """Fill an array with all of some values, in any order."""
    laid = np.resize(np.array(values, plain.dtype), plain.size)
    return np.asarray(rng.permutation(laid)).reshape(plain.shape)


def _indices(plain: Array, role: Role, kind: str, rng: np.random.Generator) -> Array:
    if not plain.size:
        return plain
    if role.unique is not None and (made := _unique(plain, role, kind, rng)) is not None:
        return made
    if len(role.extents) > 1:
        columns = [
            _indices(plain[..., at], Role("index", (size,), role.from_end), kind, rng)
            for at, size in enumerate(role.extents)
        ]
        return np.stack(columns, axis=-1)
    return _of_extent(plain, role.extents[0], role.from_end, kind, rng)


def _of_extent(plain: Array, extent: int, from_end: bool, kind: str, rng: np.random.Generator) -> Array:
    if kind == "zeros":
        return np.zeros_like(plain)
    if kind != "ends":
        return np.asarray(rng.integers(0, max(extent, 1), plain.shape)).astype(plain.dtype)
    ends = {0, min(1, extent - 1), max(0, extent - 2), extent - 1}
    back = {-1, -extent} if from_end and np.iinfo(plain.dtype).min < 0 else set()
    return _cycled(plain, sorted(ends | back), rng)


def _unique(plain: Array, role: Role, kind: str, rng: np.random.Generator) -> Array | None:
    """Give indices none of which stands twice where one is written; None where there are too many."""
    if role.unique == -1:
        made = _unique_places(plain, role.extents, rng)
    else:
        made = _unique_along(plain, role.unique or 0, role.extents[0], rng)
    if made is None or kind != "ends" or not role.from_end:
        return made
    back = rng.random(plain.shape) < 0.5  # the same places, counted from the end
    return np.asarray(np.where(back, made - np.array(role.extents), made)).astype(plain.dtype)


def _unique_places(plain: Array, extents: tuple[int, ...], rng: np.random.Generator) -> Array | None:
    rows, many = math.prod(plain.shape[:-1]), math.prod(extents)
    if rows > many:
        return None
    flat = rng.choice(many, rows, replace=False)
    return np.stack(np.unravel_index(flat, extents), axis=-1).reshape(plain.shape).astype(plain.dtype)


def _unique_along(plain: Array, axis: int, extent: int, rng: np.random.Generator) -> Array | None:
    size = plain.shape[axis]
    if size > extent:
        return None
    lines = plain.size // size
    made = np.stack([rng.choice(extent, size, replace=False) for _ in range(lines)])
    moved = np.moveaxis(plain, axis, -1)
    return np.moveaxis(made.reshape(moved.shape), -1, axis).astype(plain.dtype)
