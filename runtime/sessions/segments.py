"""Running an artifact of segments: compiled ones and those of ONNX Runtime, in order, as one session.

A tensor that a compiled segment reads has one buffer in each lane: who gives it writes there, be it the
caller or ONNX Runtime; only from one compiled segment to another it is copied. ONNX Runtime reads all where
it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.artifact import read_segment
from modeldyno.runtime.memory import MappedWeights
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.segments import Segment
from modeldyno.runtime.sessions.feeds import is_array
from modeldyno.runtime.sessions.inputs import Inputs, check_mapping
from modeldyno.runtime.sessions.lane import TEXT, Array, buffer
from modeldyno.runtime.sessions.lanes import Lanes
from modeldyno.runtime.sessions.onnx_segment import OnnxSegment
from modeldyno.runtime.sessions.threads import Threads
from modeldyno.runtime.sessions.warm_up import warm_up_once
from modeldyno.runtime.sessions.whole import WholeSession, load_library


class SegmentSession:
    """A loaded artifact of segments. As any session: each inference has a lane of its own."""

    most_rows: int | None = None
    batch_sizes: tuple[int, ...] = ()

    def __init__(
        self, manifest: Manifest, parts: Sequence[WholeSession | OnnxSegment], threads: Threads
    ) -> None:
        self.manifest = manifest
        self.inputs = manifest.inputs
        self.outputs = manifest.outputs
        self.threads = threads.count
        self.cores = threads.cores
        self._threads = threads
        self._given = Inputs(manifest.inputs)
        self._parts = tuple(parts)
        self._runs_compiled = any(isinstance(part, WholeSession) for part in parts)
        self._lanes = Lanes(lambda: SegmentLane(manifest, self._parts))

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Run one inference; the results are the caller's own.

        Sequences are lists, optionals None where they hold nothing.

        Raises:
            RequestError: an input is missing, unknown, of another shape or dtype, or refused by an operator.
        """
        check_mapping(self.inputs, feeds)
        with self.lane() as lane:
            for spec in self.inputs:
                value = self._given.value(spec, feeds)
                if is_array(spec):
                    self._given.copy_one(spec, _as_text(spec, value), lane.inputs[spec.name])
                else:
                    lane.put(spec.name, value)
            self._given.check_names(feeds)
            return {name: copy(value) for name, value in lane.run().items()}

    def warm_up(self) -> int:
        """Run one inference on zeros, or on ones where the model refuses zeros.

        Raises:
            RequestError: the model refuses both.
        """
        warm_up_once(self.run, self.manifest)
        return 1

    def lane(self) -> AbstractContextManager[SegmentLane]:
        """Lend a lane to this thread, as a whole session does."""
        if self._runs_compiled:
            self._threads.configure()
        return self._lanes.lend()


def load_segments(
    folder: Path, manifest: Manifest, threads: Threads, shared: MappedWeights | None = None
) -> SegmentSession:
    """Load the segments of a manifest that is already checked; a bucket has the weights of the whole.

    Raises:
        ArtifactError: one is damaged, or needs ONNX Runtime, which is not installed.
    """
    if shared is None and manifest.weights:
        shared = MappedWeights(folder, manifest.weights)

    def part(segment: Segment) -> WholeSession | OnnxSegment:
        if not segment.is_compiled:
            weights = {name: shared[spec] for name, spec in segment.weights.items()} if shared else {}
            return OnnxSegment(folder, segment, threads, weights)
        inner = read_segment(folder, segment)
        weights_of = shared.of(inner.weights) if shared else None
        return load_library(folder / segment.path, inner, weights_of, threads)

    return SegmentSession(manifest, [part(segment) for segment in manifest.segments], threads)


class SegmentLane:
    """What one inference at a time needs: the lanes of the segments, and the tensors between them."""

    def __init__(self, manifest: Manifest, parts: Sequence[WholeSession | OnnxSegment]) -> None:
        self.inputs: dict[str, Array] = {
            spec.name: buffer(spec) for spec in manifest.inputs if is_array(spec)
        }
        self._outputs = [spec.name for spec in manifest.outputs]
        shared = dict(self.inputs)
        for part in parts:
            for spec in part.inputs if isinstance(part, WholeSession) else ():
                shared.setdefault(spec.name, buffer(spec))
        self._values: dict[str, Any] = dict(self.inputs)
        self._steps = [self._step(part, shared) for part in parts]

    def _step(self, part: WholeSession | OnnxSegment, shared: dict[str, Array]) -> Callable[[], None]:
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


def _as_text(spec: TensorSpec, value: Any) -> Any:
    """Give an array of text of any width as the objects that code reads."""
    if spec.dtype == TEXT and isinstance(value, np.ndarray) and value.dtype.kind in "OUST":
        return value.astype(object)
    return value
