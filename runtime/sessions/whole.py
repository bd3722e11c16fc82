"""Running an artifact that is one library, of one shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ArtifactError, first_line
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime import tvm_light
from modeldyno.runtime.gpu import GpuLane
from modeldyno.runtime.memory import aligned, map_weights_beside
from modeldyno.runtime.records.manifest import LIBRARY_NAME, Manifest
from modeldyno.runtime.sessions.inputs import Inputs
from modeldyno.runtime.sessions.lane import Lane
from modeldyno.runtime.sessions.lanes import Lanes
from modeldyno.runtime.sessions.threads import Threads
from modeldyno.runtime.sessions.warm_up import warm_up_once

Array = npt.NDArray[Any]
Observer = Callable[..., None]


class WholeSession:
    """A loaded library of one shape. As any session: each inference has a lane of its own.

    Lanes are made as they are needed (as many as ever ran side by side) and share the weights.
    """

    most_rows: int | None = None
    batch_sizes: tuple[int, ...] = ()

    def __init__(self, manifest: Manifest, library: Any, weights: Sequence[Array], threads: Threads) -> None:
        self.manifest = manifest
        self.inputs: tuple[TensorSpec, ...] = manifest.inputs
        self.outputs: tuple[TensorSpec, ...] = manifest.outputs
        self.threads = threads.count
        self.cores = threads.cores
        self._threads = threads
        self._given = Inputs(manifest.inputs)
        self._ffi = tvm_light.load()
        self._library = library
        self._weights = weights
        self._observer: Observer | None = None
        self._lanes = Lanes(self._new_lane)

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run one inference on named arrays; the result's arrays are the caller's own.

        Raises:
            RequestError: an input is missing, unknown, no array, or of another shape or dtype; or what it
                holds is refused: an index out of range, a divisor of 0.
        """
        with self.lane() as lane:
            self._given.copy(feeds, lane.inputs)
            # Copied: the buffers are the lane's own, and the next inference writes them again.
            return {name: array.copy() for name, array in lane.run().items()}

    def warm_up(self) -> int:
        """Run one inference on zeros, or on ones where the model refuses zeros.

        Raises:
            RequestError: the model refuses both.
        """
        warm_up_once(self.run, self.manifest)
        return 1

    def lane(self) -> AbstractContextManager[Lane | GpuLane]:
        """Lend a lane to this thread: write its `inputs`, `run` it, read the results; nothing is copied.

        The arrays belong to whoever comes next when the block ends.
        """
        self._threads.configure()
        return self._lanes.lend()

    def instrument(self, observer: Observer | None) -> None:
        """Have `observer(function, name, before, result, *arguments)` called before and after each call.

        A call is that of a kernel or of a builtin, by its name. None ends it.
        """
        self._observer = observer
        self._lanes.for_each(lambda lane: lane.module["set_instrument"](observer))

    def lane_on(self, inputs: dict[str, Array]) -> Lane:
        """Make a lane that reads its inputs from given arrays, made by `buffer`."""
        return Lane(self._ffi, self._library, self.manifest, self._weights, inputs)

    def _new_lane(self) -> Lane | GpuLane:
        make = GpuLane if self.manifest.target.kind == "cuda" else Lane
        lane = make(self._ffi, self._library, self.manifest, self._weights)
        if self._observer:
            lane.module["set_instrument"](self._observer)
        return lane

    def bind(self, function: str, *arrays: Array) -> Callable[[], Any] | None:
        """Bind a function of the library itself to what it reads and writes; None when there is none."""
        try:
            found = self._library.get_function(function, query_imports=True)
        except (AttributeError, TypeError):
            return None
        tensors = [self._ffi.from_dlpack(aligned(array)) for array in arrays]
        return lambda: found(*tensors)

    def callback(self, function: Callable[..., None], *arguments: Any) -> Callable[[], Any]:
        """Bind a Python function to arguments, to be called the way the VM calls its observer."""
        converted = self._ffi.convert(function)
        given = [
            self._ffi.from_dlpack(aligned(value)) if isinstance(value, np.ndarray) else value
            for value in arguments
        ]
        return lambda: converted(None, *given)


def load_library(
    folder: Path, manifest: Manifest, weights: list[Array] | None, threads: Threads
) -> WholeSession:
    """Load the library of an artifact of one shape that is already checked; without weights, its own too.

    Raises:
        ArtifactError: the library can't be loaded, or the weights are damaged.
    """
    library = str((folder / LIBRARY_NAME).resolve())

    def load() -> Any:
        return tvm_light.load().load_module(library)

    try:
        if weights is None and manifest.weights:
            weights, loaded = map_weights_beside(manifest.weights.path(folder), manifest.weights, load)
        else:
            loaded = load()
        return WholeSession(manifest, loaded, weights or [], threads)
    except (RuntimeError, OSError, AttributeError, ValueError) as error:
        raise ArtifactError(f"{library} can't be loaded: {first_line(error)}") from error
