"""Running an artifact."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dyno.errors import ArtifactError, RequestError
from dyno.host import host_facts, usable_cores
from dyno.records import TensorSpec
from runtime import tvm_light
from runtime.artifact import open_artifact
from runtime.manifest import LIBRARY_NAME, WEIGHTS_NAME, Manifest
from runtime.memory import aligned, empty_aligned, map_weights

Array = npt.NDArray[Any]
_CPU, _POOLED_ALLOCATOR = 1, 2
_BOUND = "bound_main"
# The threads of a pool may each run on any of the given cores: which core is the kernel's business, since a
# server process is pinned from outside when it is to be pinned.
_SHARE_CORES = -3
_pool = threading.local()  # .threads: the size of the calling thread's pool, whichever session set it


class Session:
    """A loaded artifact. Not for two threads at once: make one session per thread."""

    def __init__(
        self, manifest: Manifest, module: Any, threads: int, library: Any, weights: Sequence[Array]
    ) -> None:
        self.manifest = manifest
        self.inputs: tuple[TensorSpec, ...] = manifest.inputs
        self.outputs: tuple[TensorSpec, ...] = manifest.outputs
        self.threads = threads
        self._ffi = tvm_light.load()
        self._module = module
        self._library = library
        self._buffers = [_buffer(spec) for spec in manifest.inputs]
        self._main = self._bound_main(weights)

    @classmethod
    def load(cls, path: Path, threads: int | None = None) -> Session:
        """Load the artifact folder `path`; `threads` inside one inference (default: the usable cores).

        Raises:
            ArtifactError: missing, damaged, of a newer schema, or made for another processor.
        """
        manifest = open_artifact(path, host_facts())
        weights = map_weights(path / WEIGHTS_NAME, manifest.weights) if manifest.weights else []
        ffi = tvm_light.load()
        library = str((path / LIBRARY_NAME).resolve())
        try:
            loaded = ffi.load_module(library)
            module = loaded["vm_load_executable"]()
            module["vm_initialization"](_CPU, 0, _POOLED_ALLOCATOR)
            return cls(manifest, module, threads or len(usable_cores()), loaded, weights)
        except (RuntimeError, OSError, AttributeError, ValueError) as error:
            raise ArtifactError(f"{library} can't be loaded: {_first_line(error)}") from error

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run one inference on named arrays; the result's arrays are the caller's own.

        Raises:
            RequestError: an input is missing, unknown, or of another shape or dtype.
        """
        self._configure_threads()
        for spec, buffer in zip(self.inputs, self._buffers, strict=True):
            self._take(spec, feeds, buffer)
        if len(feeds) != len(self.inputs):
            unknown = sorted(feeds.keys() - {spec.name for spec in self.inputs})
            raise RequestError(f"unknown input {unknown[0]!r}; the inputs are: {self._names()}")
        result = self._main()
        found = [result] if hasattr(result, "__dlpack__") else list(result)
        # Copied: the buffers are the session's own, and the next inference writes them again.
        arrays = [np.from_dlpack(tensor).copy() for tensor in found]
        return {spec.name: array for spec, array in zip(self.outputs, arrays, strict=True)}

    def instrument(self, observer: Callable[..., None] | None) -> None:
        """Have `observer(function, name, before, result, *arguments)` called before and after each call.

        A call is that of a kernel or of a builtin, by its name. None ends it.
        """
        self._module["set_instrument"](observer)

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

    def _bound_main(self, weights: Sequence[Array]) -> Any:
        """Bind all that `main` takes, once: inputs, weights, and the buffers that it works in."""
        tensors = [self._ffi.from_dlpack(array) for array in (*self._buffers, *weights)]
        made = list(self._module["setup"]()) if self.manifest.weights is not None else []
        self._module["save_function"]("main", _BOUND, True, *tensors, *made)
        return self._module[_BOUND]

    def _take(self, spec: TensorSpec, feeds: dict[str, Array], buffer: Array) -> None:
        """Check one input and copy it to where `main` reads it."""
        if spec.name not in feeds:
            raise RequestError(f"input {spec.name!r} is missing; the inputs are: {self._names()}")
        array = feeds[spec.name]
        # The names are compared last: numpy makes them anew each time, and another byte order has the same.
        if array.dtype != buffer.dtype and array.dtype.name != spec.dtype:
            raise RequestError(f"input {spec.name!r} has dtype {array.dtype.name}, expected {spec.dtype}")
        if array.shape != spec.shape:
            raise RequestError(
                f"input {spec.name!r} has shape {list(array.shape)}, expected {list(spec.shape)}"
            )
        np.copyto(buffer, array)

    def _configure_threads(self) -> None:
        """Size TVM's pool, which each calling thread has one of its own of."""
        if getattr(_pool, "threads", None) == self.threads:
            return
        cores = [str(core) for core in usable_cores()]
        self._ffi.get_global_func("runtime.config_threadpool")(_SHARE_CORES, self.threads, cores)
        _pool.threads = self.threads

    def _names(self) -> str:
        return ", ".join(spec.name for spec in self.inputs)


def _buffer(spec: TensorSpec) -> Array:
    # A compiled model's shapes are fixed.
    return empty_aligned(tuple(dim for dim in spec.shape if dim is not None), spec.dtype)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
