"""Running an artifact of segments: compiled ones and those of ONNX Runtime, in order, as one session.

A tensor that a compiled segment reads has one buffer in each lane: who gives it writes there, be it the
caller or ONNX Runtime; only from one compiled segment to another it is copied. ONNX Runtime reads all where
it lies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, cast

import numpy as np

from modeldyno.base.errors import ArtifactError, RequestError
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.artifact import read_segment
from modeldyno.runtime.memory import MappedWeights
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.segments import Segment
from modeldyno.runtime.sessions.feeds import is_array
from modeldyno.runtime.sessions.lane import TEXT, Array, buffer
from modeldyno.runtime.sessions.onnx_segment import OnnxSegment
from modeldyno.runtime.sessions.wanted import check_mapping
from modeldyno.runtime.sessions.whole import Observer, Session, load_library


class SegmentSession(Session):
    """A loaded artifact of segments. As any session: each inference has a lane of its own."""

    def __init__(
        self, manifest: Manifest, parts: Sequence[Session | OnnxSegment], threads: int, cores: tuple[int, ...]
    ) -> None:
        self.manifest = manifest
        self.inputs = manifest.inputs
        self.outputs = manifest.outputs
        self.threads = threads
        self.cores = cores
        self._parts = tuple(parts)
        self._compiled = [part for part in parts if isinstance(part, Session)]
        self._lock = threading.Lock()
        self._lanes = [self._new_lane()]
        self._idle = list(self._lanes)

    @classmethod
    def open(
        cls,
        folder: Path,
        manifest: Manifest,
        threads: int | None,
        cores: tuple[int, ...],
        shared: MappedWeights | None = None,
    ) -> SegmentSession:
        """Load the segments of a manifest that is already checked; a bucket has the weights of the whole.

        Raises:
            ArtifactError: one is damaged, or needs ONNX Runtime, which is not installed.
        """
        count = threads or len(cores or usable_cores())
        if shared is None and manifest.weights:
            shared = MappedWeights(folder, manifest.weights)

        def part(segment: Segment) -> Session | OnnxSegment:
            if not segment.is_compiled:
                weights = {name: shared[spec] for name, spec in segment.weights.items()} if shared else {}
                return OnnxSegment(folder, segment, count, cores, weights)
            inner = read_segment(folder, segment)
            weights_of = shared.of(inner.weights) if shared else None
            return load_library(folder / segment.path, inner, weights_of, count, cores)

        return cls(manifest, [part(segment) for segment in manifest.segments], count, cores)

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Run one inference; the results are the caller's own.

        Sequences are lists, optionals None where they hold nothing.

        Raises:
            RequestError: an input is missing, unknown, of another shape or dtype, or refused by an operator.
        """
        check_mapping(self.inputs, feeds)
        with self.lane() as lane:
            for spec in self.inputs:
                if is_array(spec):
                    self._take(spec, feeds, lane.inputs[spec.name])
                elif spec.name in feeds:
                    cast("SegmentLane", lane).put(spec.name, feeds[spec.name])
                else:
                    raise RequestError(f"input {spec.name!r} is missing; the inputs are: {self._names()}")
            self._check_names(feeds)
            return {name: copy(value) for name, value in lane.run().items()}

    def instrument(self, observer: Observer | None) -> None:  # noqa: ARG002
        """Refuse: kernels are those of the compiled segments, each of which is an artifact too."""
        raise ArtifactError(
            "an artifact of segments can't be observed as one; its compiled segments can, each by itself: "
            + ", ".join(segment.path for segment in self.manifest.segments if segment.is_compiled)
        )

    def bind(self, function: str, *arrays: Array) -> Callable[[], Any] | None:  # noqa: ARG002
        """There is no library of the whole."""
        return None

    def _new_lane(self) -> Any:
        return SegmentLane(self.manifest, self._parts)

    def _configure_threads(self) -> None:
        if self._compiled:
            self._compiled[0]._configure_threads()

    def _take(self, spec: TensorSpec, feeds: dict[str, Array], place: Array) -> None:
        given = feeds.get(spec.name)
        if spec.dtype == TEXT and isinstance(given, np.ndarray) and given.dtype.kind in "OUST":
            feeds = {spec.name: given.astype(object)}
        super()._take(spec, feeds, place)


class SegmentLane:
    """What one inference at a time needs: the lanes of the segments, and the tensors between them."""

    def __init__(self, manifest: Manifest, parts: Sequence[Session | OnnxSegment]) -> None:
        self.inputs: dict[str, Array] = {
            spec.name: buffer(spec) for spec in manifest.inputs if is_array(spec)
        }
        self._outputs = [spec.name for spec in manifest.outputs]
        shared = dict(self.inputs)
        for part in parts:
            for spec in part.inputs if isinstance(part, Session) else ():
                shared.setdefault(spec.name, buffer(spec))
        self._values: dict[str, Any] = dict(self.inputs)
        self._steps = [self._step(part, shared) for part in parts]

    def _step(self, part: Session | OnnxSegment, shared: dict[str, Array]) -> Callable[[], None]:
        if isinstance(part, OnnxSegment):
            return part.bound(self._values, {name: shared[name] for name in part.outputs if name in shared})
        lane = part.lane_on({spec.name: shared[spec.name] for spec in part.inputs})

        def run() -> None:
            for name, array in lane.run().items():
                self._values[name] = array
                if name in shared:  # another compiled segment reads it, at an address of its own
                    np.copyto(shared[name], array)

        return run

    def put(self, name: str, value: Any) -> None:
        """Set an input that is no array."""
        self._values[name] = value

    def run(self) -> dict[str, Array]:
        """Run on what `inputs` hold; the results are read where they were written, until the next run."""
        for step in self._steps:
            step()
        return {name: self._values[name] for name in self._outputs}
