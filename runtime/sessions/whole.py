"""Running an artifact."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ArtifactError, ConfigError, RequestError
from modeldyno.base.host.facts import processor, usable_cores
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime import tvm_light
from modeldyno.runtime.artifact import open_artifact
from modeldyno.runtime.gpu import GpuLane, check_gpu, offer_kernels
from modeldyno.runtime.memory import aligned, map_weights_beside
from modeldyno.runtime.records.manifest import LIBRARY_NAME, Manifest
from modeldyno.runtime.sessions.feeds import ones, zeros
from modeldyno.runtime.sessions.lane import Lane
from modeldyno.runtime.sessions.wanted import ARRAYS, check_array, check_mapping

Array = npt.NDArray[Any]
Observer = Callable[..., None]
# Modes of TVM's thread pool. Without pinning, its threads may each run on any of the given cores: which core
# is the kernel's business, since a server process is pinned from outside when it is to be pinned.
_ONE_CORE_EACH, _SHARE_CORES = -2, -3
_pool = threading.local()  # .settings: those of the calling thread's pool, whichever session made them


class Session:
    """A loaded artifact. Any number of threads may run it: each inference has a lane of its own.

    Lanes are made as they are needed (as many as ever ran side by side) and share the weights. One that is
    compiled for several shapes is a `runtime.sessions.buckets.BucketedSession`.
    """

    most_rows: int | None = None  # of a first axis that is left open
    batch_sizes: tuple[int, ...] = ()  # rows that it is compiled for, of such an axis

    def __init__(
        self, manifest: Manifest, library: Any, weights: Sequence[Array], threads: int, cores: tuple[int, ...]
    ) -> None:
        self.manifest = manifest
        self.inputs: tuple[TensorSpec, ...] = manifest.inputs
        self.outputs: tuple[TensorSpec, ...] = manifest.outputs
        self.threads = threads
        self.cores = cores
        self._ffi = tvm_light.load()
        self._library = library
        self._weights = weights
        self._observer: Observer | None = None
        self._lock = threading.Lock()
        self._lanes = [self._new_lane()]
        self._idle = list(self._lanes)

    @classmethod
    def load(cls, path: Path, threads: int | None = None, cores: Sequence[int] | None = None) -> Session:
        """Load the artifact folder `path`.

        `threads` work inside one inference (default: one for each of `cores`, or of the usable cores). With
        `cores`, each of them is pinned to one of these; the thread that calls `run` is moved onto them too.

        Raises:
            ArtifactError: missing, damaged, of a newer schema, or made for another processor.
            ConfigError: a core that this process may not use, or fewer cores than threads.
        """
        pinned = _checked_cores(cores, threads)
        manifest = open_artifact(path, processor())
        if manifest.buckets:
            from modeldyno.runtime.sessions.buckets import BucketedSession  # which imports this module

            return BucketedSession(path, manifest, threads or len(pinned or usable_cores()), pinned)
        if manifest.segments:
            from modeldyno.runtime.sessions.segments import SegmentSession

            return SegmentSession.open(path, manifest, threads, pinned)
        if manifest.target.kind == "cuda":
            check_gpu(path, manifest)
            tvm_light.load_cuda()
            if manifest.gpu_code:
                offer_kernels(tvm_light.load(), path, manifest.gpu_code)
        return load_library(path, manifest, None, threads or len(pinned or usable_cores()), pinned)

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run one inference on named arrays; the result's arrays are the caller's own.

        Raises:
            RequestError: an input is missing, unknown, no array, or of another shape or dtype; or what it
                holds is refused: an index out of range, a divisor of 0.
        """
        check_mapping(self.inputs, feeds)
        with self.lane() as lane:
            for spec in self.inputs:
                self._take(spec, feeds, lane.inputs[spec.name])
            self._check_names(feeds)
            # Copied: the buffers are the lane's own, and the next inference writes them again.
            return {name: array.copy() for name, array in lane.run().items()}

    def warm_up(self) -> int:
        """Run one inference on zeros in each compiled shape; give how many that were.

        Where the model refuses zeros, on ones. What only its guards refuse has run all the same.

        Raises:
            RequestError: the model refuses both.
        """
        try:
            self.run(zeros(self.inputs))
        except RequestError:
            self._run_ones()
        return 1

    def _run_ones(self) -> None:
        try:
            self.run(ones(self.inputs))
        except RequestError:
            if not self.manifest.guards:
                raise

    @contextmanager
    def lane(self) -> Iterator[Lane | GpuLane]:
        """Lend a lane to this thread: write its `inputs`, `run` it, read the results; nothing is copied.

        The arrays belong to whoever comes next when the block ends.
        """
        self._configure_threads()
        with self._lock:
            lane = self._idle.pop() if self._idle else None
        if lane is None:
            lane = self._new_lane()
            with self._lock:
                self._lanes.append(lane)
        try:
            yield lane
        finally:
            with self._lock:
                self._idle.append(lane)

    def instrument(self, observer: Observer | None) -> None:
        """Have `observer(function, name, before, result, *arguments)` called before and after each call.

        A call is that of a kernel or of a builtin, by its name. None ends it.
        """
        with self._lock:
            self._observer = observer
            for lane in self._lanes:
                lane.module["set_instrument"](observer)

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

    def _take(self, spec: TensorSpec, feeds: dict[str, Array], buffer: Array) -> None:
        """Check one input and copy it to where `main` reads it."""
        if spec.name not in feeds:
            raise RequestError(f"input {spec.name!r} is missing; the inputs are: {self._names()}")
        array: Any = feeds[spec.name]
        if not isinstance(array, ARRAYS):
            check_array(spec, array)
        # The names are compared last: numpy makes them anew each time, and another byte order has the same.
        if array.dtype != buffer.dtype and array.dtype.name != spec.dtype:
            raise RequestError(f"input {spec.name!r} has dtype {array.dtype.name}, expected {spec.dtype}")
        if array.shape != spec.shape:
            raise RequestError(
                f"input {spec.name!r} has shape {list(array.shape)}, expected {list(spec.shape)}"
            )
        np.copyto(buffer, array)

    def _check_names(self, feeds: dict[str, Array]) -> None:
        """Refuse what is more than the inputs, which are all there."""
        if len(feeds) != len(self.inputs):
            unknown = sorted(map(str, feeds.keys() - {spec.name for spec in self.inputs}))
            raise RequestError(f"unknown input {unknown[0]!r}; the inputs are: {self._names()}")

    def _configure_threads(self) -> None:
        """Size TVM's pool, which each calling thread has one of its own of."""
        if getattr(_pool, "settings", None) == (self.threads, self.cores):
            return
        cores = [str(core) for core in self.cores or usable_cores()]
        mode = _ONE_CORE_EACH if self.cores else _SHARE_CORES
        self._ffi.get_global_func("runtime.config_threadpool")(mode, self.threads, cores)
        _pool.settings = (self.threads, self.cores)

    def _names(self) -> str:
        return ", ".join(spec.name for spec in self.inputs)


def load_library(
    folder: Path, manifest: Manifest, weights: list[Array] | None, threads: int, cores: tuple[int, ...]
) -> Session:
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
        return Session(manifest, loaded, weights or [], threads, cores)
    except (RuntimeError, OSError, AttributeError, ValueError) as error:
        raise ArtifactError(f"{library} can't be loaded: {_first_line(error)}") from error


def _checked_cores(cores: Sequence[int] | None, threads: int | None) -> tuple[int, ...]:
    """Give the cores to pin to; none where nothing is pinned."""
    if cores is None:
        return ()
    chosen, usable = tuple(dict.fromkeys(cores)), usable_cores()
    foreign = [core for core in chosen if core not in usable]
    if foreign or not chosen:
        named = f"core {foreign[0]} can't be used" if foreign else "no core is given"
        raise ConfigError(f"{named}; this process may run on {', '.join(map(str, usable))}")
    if threads and threads > len(chosen):
        raise ConfigError(f"{threads} threads can't be pinned to {len(chosen)} core(s): one each")
    return chosen


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
