"""Running an artifact that is compiled for several shapes: each request in the sizes that suit it."""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from pathlib import Path

import numpy as np

from modeldyno.base.errors import ArtifactError, ConfigError, RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime import tvm_light
from modeldyno.runtime.artifact import read_bucket
from modeldyno.runtime.memory import MappedWeights
from modeldyno.runtime.records.buckets import Bucket, Buckets
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.sessions.axes import Array, Axes, Feeds, Sizes, fill, shown_sizes
from modeldyno.runtime.sessions.bucket_plan import Piece, pieces_by_cost, pieces_by_padding
from modeldyno.runtime.sessions.segments import SegmentSession, load_segments
from modeldyno.runtime.sessions.threads import Threads
from modeldyno.runtime.sessions.whole import WholeSession, load_library

_REMEMBERED = 1024  # plans of larger requests, which clients may send in any size, are not kept
OneShape = WholeSession | SegmentSession
Run = tuple[Sizes, int | None]  # a bucket, and how many rows go into it: None is all, in one run


class BucketedSession:
    """A session of one session per compiled shape; made when first used, all on one copy of the weights.

    A request is padded with zeros to the compiled size that holds it, and its outputs are cut back. Where
    rows don't depend on one another it may be run in several pieces instead: where that was measured to be
    cheaper, and where it is larger than any compiled size. Exact sizes are neither padded nor split.
    """

    def __init__(self, folder: Path, manifest: Manifest, threads: Threads) -> None:
        if manifest.buckets is None:
            raise ArtifactError(f"{folder} is compiled for one shape, not for several")
        tvm_light.load()  # with the artifact, not with its first inference
        self.manifest = manifest
        self.inputs: tuple[TensorSpec, ...] = manifest.inputs
        self.outputs: tuple[TensorSpec, ...] = manifest.outputs
        self.threads = threads.count
        self.cores = threads.cores
        self.axes = Axes(manifest.inputs, manifest.buckets.axes)
        self.most_rows = self.axes.most_rows()
        split = self.axes.split
        sizes = set() if split is None else {bucket.sizes[split] for bucket in manifest.buckets.buckets}
        self.batch_sizes: tuple[int, ...] = tuple(sorted(sizes))
        self._folder = folder
        self._threads = threads
        self._facts: Buckets = manifest.buckets
        self._by_sizes: dict[Sizes, Bucket] = {bucket.sizes: bucket for bucket in self._facts.buckets}
        self._shared = MappedWeights(folder, manifest.weights)
        self._parts: dict[Sizes, OneShape] = {}
        self._exact: dict[tuple[Sizes, ...], OneShape] = {}  # by the shapes of all inputs
        self._names_in_order = [spec.name for spec in manifest.inputs]
        self._lock = threading.Lock()
        self._remembered = lru_cache(_REMEMBERED)(self._plan)

    def run(self, feeds: Feeds) -> Feeds:
        """Run one inference on named arrays; the result's arrays are the caller's own.

        Raises:
            RequestError: an input is missing, unknown, of another dtype, or of a shape out of range.
        """
        shapes = self._shapes(feeds)
        if exact := self._exact.get(shapes):
            return exact.run(feeds)
        sizes = self.axes.read(feeds)
        plan = self.plan(sizes)
        if plan == ((sizes, None),):
            # Next time nothing is read, planned or cut: the part checks all but the shapes itself.
            self._exact[shapes] = self.part(sizes)
        if len(plan) == 1:
            return self._run_one(feeds, sizes, plan[0][0])
        results: dict[str, list[Array]] = {}
        begin, split = 0, self.axes.split or 0
        for bucket, rows in plan:
            count = rows or 0
            piece = self.axes.rows(feeds, begin, begin + count)
            wanted = _replaced(sizes, split, count)
            try:
                found = self._run_one(piece, wanted, bucket)
            except RequestError as error:
                raise RequestError(f"in the rows from {begin} on: {error}", status=error.status) from error
            for name, array in found.items():
                results.setdefault(name, []).append(array)
            begin += count
        return {name: np.concatenate(arrays) for name, arrays in results.items()}

    def run_in(self, bucket: Sizes, feeds: Feeds) -> Feeds:
        """Run one inference in one piece, padded to this bucket.

        Raises:
            RequestError: as `run`, or the bucket is too small. ConfigError: there is no such bucket.
        """
        sizes = self.axes.read(feeds)
        if any(size > most for size, most in zip(sizes, bucket, strict=True)):
            raise RequestError(
                f"a request of {shown_sizes(sizes)} does not fit into the bucket {shown_sizes(bucket)}"
            )
        return self._run_one(feeds, sizes, bucket)

    def warm_up(self) -> int:
        """Load every bucket and run one inference on zeros in each, the largest first: it takes most memory.

        Raises:
            ArtifactError: a bucket's files are damaged. RequestError: the model refuses zeros.
        """
        found = sorted(self._by_sizes, key=math.prod, reverse=True)
        return sum(self.part(sizes).warm_up() for sizes in found)

    def plan(self, sizes: Sizes) -> tuple[Run, ...]:
        """Say in which compiled shapes a request of `sizes`, one of each axis, is run.

        Raises:
            RequestError: a size is out of range.
        """
        return self._remembered(sizes) if max(sizes) <= _REMEMBERED else self._plan(sizes)

    @property
    def buckets(self) -> tuple[Sizes, ...]:
        """The compiled shapes, by the size of each axis."""
        return tuple(self._by_sizes)

    def part(self, sizes: Sizes) -> OneShape:
        """Give the session of one compiled shape, by the size of each axis.

        Raises:
            ConfigError: there is no such bucket. ArtifactError: its files are damaged.
        """
        with self._lock:
            if sizes not in self._by_sizes:
                known = ", ".join(map(shown_sizes, self._by_sizes))
                raise ConfigError(f"no bucket {shown_sizes(sizes)}; there are: {known}")
            if sizes not in self._parts:
                self._parts[sizes] = self._load_part(self._by_sizes[sizes])
            return self._parts[sizes]

    def _load_part(self, bucket: Bucket) -> OneShape:
        manifest, place = read_bucket(self._folder, bucket), self._folder / bucket.folder
        if manifest.segments:
            return load_segments(place, manifest, self._threads, self._shared)
        return load_library(place, manifest, self._shared.of(manifest.weights), self._threads)

    def _shapes(self, feeds: Feeds) -> tuple[Sizes, ...]:
        """Give the inputs' shapes in order; none where one is missing or no array, which `read` then says."""
        try:
            return tuple([feeds[name].shape for name in self._names_in_order])
        except (KeyError, AttributeError, TypeError, IndexError):
            return ()

    def _plan(self, sizes: Sizes) -> tuple[Run, ...]:
        fits, split = self.axes.fits(sizes), self.axes.split
        if split is None:
            return ((fits, None),)
        pieces = self._pieces(split, sizes[split], fits)
        if len(pieces) == 1:
            return ((_replaced(fits, split, pieces[0].size), None),)
        return tuple((_replaced(fits, split, piece.size), piece.rows) for piece in pieces)

    def _pieces(self, split: int, rows: int, fits: Sizes) -> tuple[Piece, ...]:
        sizes = self.axes[split].sizes
        costs = {size: self._by_sizes[_replaced(fits, split, size)].p50_ms for size in sizes}
        measured = {size: cost for size, cost in costs.items() if cost is not None}
        # With more threads large runs gain more than small ones: what was measured then says too little.
        if len(measured) == len(sizes) and self.threads == self._facts.measured_threads:
            return pieces_by_cost(rows, measured)
        return pieces_by_padding(rows, sizes)

    def _run_one(self, feeds: Feeds, wanted: Sizes, bucket: Sizes) -> Feeds:
        with self.part(bucket).lane() as lane:
            for name, buffer in lane.inputs.items():
                fill(buffer, feeds[name])
            # Copied: the buffers are the lane's own, and the next inference writes them again.
            return {
                name: array[tuple(self.axes.cuts(name, array.shape, wanted, bucket))].copy()
                for name, array in lane.run().items()
            }


def _replaced(sizes: Sizes, index: int, size: int) -> Sizes:
    return (*sizes[:index], size, *sizes[index + 1 :])
