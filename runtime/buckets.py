"""Running an artifact that is compiled for several shapes: each request in the sizes that suit it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from dyno.errors import ArtifactError, ConfigError, RequestError
from dyno.records import TensorSpec
from runtime import tvm_light
from runtime.artifact import read_bucket
from runtime.bucket_plan import Piece, fitting, pieces_by_cost, pieces_by_padding
from runtime.buckets_text import sizes_text
from runtime.manifest import (
    LIBRARY_NAME,
    WEIGHTS_NAME,
    Axis,
    Bucket,
    Buckets,
    Manifest,
    Place,
)
from runtime.memory import map_weights
from runtime.session import Observer, Session

Array = npt.NDArray[Any]
Sizes = tuple[int, ...]
_REMEMBERED = 1024  # plans of larger requests, which clients may send in any size, are not kept


class BucketedSession(Session):
    """A session of one `Session` per compiled shape; made when first used, all on one copy of the weights.

    A request is padded with zeros to the compiled size that holds it, and its outputs are cut back. Where
    rows don't depend on one another it may be run in several pieces instead: where that was measured to be
    cheaper, and where it is larger than any compiled size. Exact sizes are neither padded nor split.
    """

    def __init__(self, folder: Path, manifest: Manifest, threads: int, cores: tuple[int, ...]) -> None:
        # Not the base's: that makes a lane of one fixed shape, which here each part does for itself.
        if manifest.buckets is None:
            raise ArtifactError(f"{folder} is compiled for one shape, not for several")
        tvm_light.load()  # with the artifact, not with its first inference
        self.manifest = manifest
        self.inputs: tuple[TensorSpec, ...] = manifest.inputs
        self.outputs: tuple[TensorSpec, ...] = manifest.outputs
        self.threads = threads
        self.cores = cores
        self.axes: tuple[Axis, ...] = manifest.buckets.axes
        self.most_rows = _most_rows(self.axes)
        self._folder = folder
        self._buckets: Buckets = manifest.buckets
        self._by_sizes: dict[Sizes, Bucket] = {bucket.sizes: bucket for bucket in self._buckets.buckets}
        self._shared = _weights(folder, manifest)
        self._parts: dict[Sizes, Session] = {}
        self._observer: Observer | None = None
        self._lock = threading.Lock()
        self._planned = lru_cache(_REMEMBERED)(self._plan)
        self._axis_of_input = _places(axis.inputs for axis in self.axes)
        self._axis_of_output = _places(axis.outputs for axis in self.axes)

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run one inference on named arrays; the result's arrays are the caller's own.

        Raises:
            RequestError: an input is missing, unknown, of another dtype, or of a shape out of range.
        """
        sizes = self._sizes(feeds)
        results: dict[str, list[Array]] = {}
        begin = 0
        for bucket, rows in self.plan(sizes):
            piece = feeds if rows is None else self._rows(feeds, begin, begin + rows)
            wanted = sizes if rows is None else self._with_rows(sizes, rows)
            for name, array in self._run_one(piece, wanted, bucket).items():
                results.setdefault(name, []).append(array)
            begin += rows or 0
        return {
            name: arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            for name, arrays in results.items()
        }

    def run_in(self, bucket: Sizes, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run one inference in one piece, padded to this bucket.

        Raises:
            RequestError: as `run`, or the bucket is too small. ConfigError: there is no such bucket.
        """
        sizes = self._sizes(feeds)
        if any(size > most for size, most in zip(sizes, bucket, strict=True)):
            raise RequestError(f"a request of {_shown(sizes)} does not fit into the bucket {_shown(bucket)}")
        return self._run_one(feeds, sizes, bucket)

    def plan(self, sizes: Sizes) -> list[tuple[Sizes, int | None]]:
        """Say which compiled shapes a request of `sizes`, one of each axis, is run in.

        With each the rows of the request that it takes; None is all of them, in one run.

        Raises:
            RequestError: a size is out of range.
        """
        plan = self._planned if max(sizes) <= _REMEMBERED else self._plan
        return list(plan(sizes))

    def _plan(self, sizes: Sizes) -> tuple[tuple[Sizes, int | None], ...]:
        fits = [self._fit(axis, size) for axis, size in zip(self.axes, sizes, strict=True)]
        split = self._split_axis()
        if split is None:
            return ((tuple(fits), None),)
        pieces = self._pieces(split, sizes[split], tuple(fits))
        whole = len(pieces) == 1
        return tuple(
            ((*fits[:split], piece.size, *fits[split + 1 :]), None if whole else piece.rows)
            for piece in pieces
        )

    def shapes(self, sizes: Sizes) -> dict[str, Sizes]:
        """Give the inputs' shapes for one size of each axis."""
        return {
            spec.name: tuple(
                size if size is not None else sizes[self._axis_of_input[spec.name, at]]
                for at, size in enumerate(spec.shape)
            )
            for spec in self.inputs
        }

    @property
    def buckets(self) -> tuple[Sizes, ...]:
        """The compiled shapes, by the size of each axis."""
        return tuple(self._by_sizes)

    def part(self, sizes: Sizes) -> Session:
        """Give the session of one compiled shape, by the size of each axis.

        Raises:
            ConfigError: there is no such bucket. ArtifactError: its files are damaged.
        """
        with self._lock:
            if sizes not in self._by_sizes:
                raise ConfigError(
                    f"no bucket {_shown(sizes)}; there are: {', '.join(map(_shown, self._by_sizes))}"
                )
            if sizes not in self._parts:
                self._parts[sizes] = self._load_part(self._by_sizes[sizes])
                if self._observer:
                    self._parts[sizes].instrument(self._observer)
            return self._parts[sizes]

    def lane(self) -> NoReturn:
        """Refuse: a lane has one shape; `part(sizes).lane()` lends one.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "this artifact has several shapes: `part(sizes)` gives the session of one, with lanes"
        )

    def instrument(self, observer: Observer | None) -> None:
        """As the base, for every compiled shape."""
        with self._lock:
            self._observer = observer
            for part in self._parts.values():
                part.instrument(observer)

    def bind(self, function: str, *arrays: Array) -> Callable[[], Any] | None:
        """Bind a function of the first bucket's library."""
        return self.part(self._buckets.buckets[0].sizes).bind(function, *arrays)

    def callback(self, function: Callable[..., None], *arguments: Any) -> Callable[[], Any]:
        """As the base."""
        return self.part(self._buckets.buckets[0].sizes).callback(function, *arguments)

    def _load_part(self, bucket: Bucket) -> Session:
        folder = self._folder / bucket.folder
        manifest = read_bucket(self._folder, bucket)
        found = manifest.weights.tensors if manifest.weights else ()
        weights = [self._shared[spec.offset, spec.dtype, spec.shape] for spec in found]
        library = str((folder / LIBRARY_NAME).resolve())
        try:
            return Session(manifest, tvm_light.load().load_module(library), weights, self.threads, self.cores)
        except (RuntimeError, OSError, AttributeError, ValueError) as error:
            raise ArtifactError(f"{library} can't be loaded: {str(error).splitlines()[0]}") from error

    def _sizes(self, feeds: dict[str, Array]) -> Sizes:
        """Check the arrays against the signature and give the size of each axis."""
        names = ", ".join(spec.name for spec in self.inputs)
        found: dict[int, tuple[int, str]] = {}
        for spec in self.inputs:
            if spec.name not in feeds:
                raise RequestError(f"input {spec.name!r} is missing; the inputs are: {names}")
            array = feeds[spec.name]
            _check(spec, array)
            for dimension, size in enumerate(array.shape):
                axis = self._axis_of_input.get((spec.name, dimension))
                if axis is None:
                    continue
                first, where = found.setdefault(axis, (size, f"{spec.name!r}"))
                if first != size:
                    raise RequestError(
                        f"input {spec.name!r} has size {size} in dimension {dimension}, and {where} has "
                        f"{first} for the same axis ({self.axes[axis].name}): they must be equal"
                    )
        if len(feeds) != len(self.inputs):
            unknown = sorted(feeds.keys() - {spec.name for spec in self.inputs})
            raise RequestError(f"unknown input {unknown[0]!r}; the inputs are: {names}")
        return tuple(found[axis][0] for axis in range(len(self.axes)))

    def _fit(self, axis: Axis, size: int) -> int:
        """Give the compiled size for a request's; the largest where it has to be split."""
        fit = fitting(size, axis.sizes) if axis.padded else size if size in axis.sizes else None
        if fit is None and axis.splits and size >= axis.low:
            fit = axis.sizes[-1]
        if fit is None or size < axis.low:
            first = axis.inputs[0]
            raise RequestError(
                f"input {first.tensor!r} has size {size} in dimension {first.dimension} ({axis.name}); "
                f"this artifact takes {sizes_text(axis)}"
            )
        return fit

    def _split_axis(self) -> int | None:
        return next((index for index, axis in enumerate(self.axes) if axis.splits), None)

    def _pieces(self, split: int, rows: int, fits: Sizes) -> tuple[Piece, ...]:
        sizes = self.axes[split].sizes
        costs = {size: self._by_sizes[(*fits[:split], size, *fits[split + 1 :])].p50_ms for size in sizes}
        measured = {size: cost for size, cost in costs.items() if cost is not None}
        # With more threads large runs gain more than small ones: what was measured then says too little.
        if len(measured) == len(sizes) and self.threads == self._buckets.measured_threads:
            return pieces_by_cost(rows, measured)
        return pieces_by_padding(rows, sizes)

    def _rows(self, feeds: dict[str, Array], begin: int, end: int) -> dict[str, Array]:
        split = self._split_axis()
        return {
            name: array[begin:end] if self._axis_of_input.get((name, 0), -1) == split else array
            for name, array in feeds.items()
        }

    def _with_rows(self, sizes: Sizes, rows: int) -> Sizes:
        split = self._split_axis() or 0
        return (*sizes[:split], rows, *sizes[split + 1 :])

    def _run_one(self, feeds: dict[str, Array], wanted: Sizes, bucket: Sizes) -> dict[str, Array]:
        with self.part(bucket).lane() as lane:
            for name, buffer in lane.inputs.items():
                fill(buffer, feeds[name])
            # Copied: the buffers are the lane's own, and the next inference writes them again.
            return {
                name: array[tuple(self._cuts(name, array.shape, wanted, bucket))].copy()
                for name, array in lane.run().items()
            }

    def _cuts(self, name: str, shape: Sizes, wanted: Sizes, bucket: Sizes) -> Iterator[slice]:
        """Give the part of an output that belongs to the request."""
        for dimension, size in enumerate(shape):
            axis = self._axis_of_output.get((name, dimension))
            # A dimension may hold several for each row: boxes of all images, one image behind another.
            yield slice(size if axis is None else size // bucket[axis] * wanted[axis])


def one_shape(session: Session, sizes: Sizes | None) -> Session:
    """Give the session of one compiled shape: that of `sizes`, or the largest.

    Raises:
        ConfigError: there is no such bucket.
    """
    if isinstance(session, BucketedSession):
        return session.part(sizes or max(session.buckets, key=math.prod))
    if sizes is not None:
        raise ConfigError(f"no bucket {_shown(sizes)}: this artifact has one shape")
    return session


def fill(buffer: Array, array: Array) -> None:
    """Copy `array` into the corner of a buffer of the same rank, and zeros into the rest."""
    if buffer.shape == array.shape:
        np.copyto(buffer, array)
        return
    buffer[tuple(slice(size) for size in array.shape)] = array
    for dimension, size in enumerate(array.shape):
        buffer[(*(slice(None),) * dimension, slice(size, None))] = 0


def _most_rows(axes: tuple[Axis, ...]) -> int | None:
    """Give the number of rows up to which every number is taken; None: there is none, or no such axis."""
    rows = next((axis for axis in axes if any(not place.dimension for place in axis.inputs)), None)
    if rows is None or rows.splits:
        return None
    if rows.padded:
        return rows.sizes[-1]
    return next((size for size in rows.sizes if size + 1 not in rows.sizes), 1) if rows.sizes[0] == 1 else 1


def _places(places: Iterable[tuple[Place, ...]]) -> dict[tuple[str, int], int]:
    """Find the axis of a dimension, as its index."""
    return {(one.tensor, one.dimension): index for index, found in enumerate(places) for one in found}


def _check(spec: TensorSpec, array: Array) -> None:
    if array.dtype.name != spec.dtype:
        raise RequestError(f"input {spec.name!r} has dtype {array.dtype.name}, expected {spec.dtype}")
    fits = len(array.shape) == len(spec.shape) and all(
        want is None or size == want for size, want in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        shown = ", ".join("?" if size is None else str(size) for size in spec.shape)
        raise RequestError(f"input {spec.name!r} has shape {list(array.shape)}, expected [{shown}]")


def _weights(folder: Path, manifest: Manifest) -> dict[tuple[int, str, Sizes], Array]:
    """Map the weights of all buckets, by where they lie and what they are."""
    if manifest.weights is None:
        return {}
    arrays = map_weights(folder / WEIGHTS_NAME, manifest.weights)
    specs = manifest.weights.tensors
    return {(s.offset, s.dtype, s.shape): array for s, array in zip(specs, arrays, strict=True)}


def _shown(sizes: Sizes) -> str:
    return "x".join(map(str, sizes))
