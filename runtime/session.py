"""Running an artifact."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dyno.errors import ArtifactError, RequestError
from dyno.host import host_facts, usable_cores
from dyno.records import TensorSpec
from runtime import tvm_light
from runtime.artifact import open_artifact
from runtime.manifest import LIBRARY_NAME, Manifest

Array = npt.NDArray[Any]
ALIGNMENT_BYTES = 64  # what TVM's code may assume of every tensor
_CPU, _POOLED_ALLOCATOR = 1, 2
# The threads of a pool may each run on any of the given cores: which core is the kernel's business, since a
# server process is pinned from outside when it is to be pinned.
_SHARE_CORES = -3
_pool = threading.local()  # .threads: the size of the calling thread's pool, whichever session set it


class Session:
    """A loaded artifact. Not for two threads at once: make one session per thread."""

    def __init__(self, manifest: Manifest, module: Any, threads: int, library: Any = None) -> None:
        self.manifest = manifest
        self.inputs: tuple[TensorSpec, ...] = manifest.inputs
        self.outputs: tuple[TensorSpec, ...] = manifest.outputs
        self.threads = threads
        self._ffi = tvm_light.load()
        self._module = module
        self._library = library
        self._main = module["main"]

    @classmethod
    def load(cls, path: Path, threads: int | None = None) -> Session:
        """Load the artifact folder `path`; `threads` inside one inference (default: the usable cores).

        Raises:
            ArtifactError: missing, damaged, of a newer schema, or made for another processor.
        """
        manifest = open_artifact(path, host_facts())
        ffi = tvm_light.load()
        library = str((path / LIBRARY_NAME).resolve())
        try:
            loaded = ffi.load_module(library)
            module = loaded["vm_load_executable"]()
            module["vm_initialization"](_CPU, 0, _POOLED_ALLOCATOR)
        except (RuntimeError, OSError, AttributeError, ValueError) as error:
            raise ArtifactError(f"{library} can't be loaded: {_first_line(error)}") from error
        return cls(manifest, module, threads or len(usable_cores()), loaded)

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run one inference on named arrays; the result's arrays are the caller's own.

        Raises:
            RequestError: an input is missing, unknown, or of another shape or dtype.
        """
        self._configure_threads()
        tensors = [self._tensor(spec, feeds) for spec in self.inputs]
        if len(feeds) != len(tensors):
            unknown = sorted(feeds.keys() - {spec.name for spec in self.inputs})
            raise RequestError(f"unknown input {unknown[0]!r}; the inputs are: {self._names()}")
        result = self._main(*tensors)
        found = [result] if len(self.outputs) == 1 and not _is_tuple(result) else list(result)
        # Copied: an output may be a view of an input, or a constant inside the model.
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

    def _tensor(self, spec: TensorSpec, feeds: dict[str, Array]) -> Any:
        if spec.name not in feeds:
            raise RequestError(f"input {spec.name!r} is missing; the inputs are: {self._names()}")
        array = feeds[spec.name]
        if array.dtype.name != spec.dtype:
            raise RequestError(f"input {spec.name!r} has dtype {array.dtype.name}, expected {spec.dtype}")
        if array.shape != spec.shape:
            raise RequestError(
                f"input {spec.name!r} has shape {list(array.shape)}, expected {list(spec.shape)}"
            )
        return self._ffi.from_dlpack(aligned(array))

    def _configure_threads(self) -> None:
        """Size TVM's pool, which each calling thread has one of its own of."""
        if getattr(_pool, "threads", None) == self.threads:
            return
        cores = [str(core) for core in usable_cores()]
        self._ffi.get_global_func("runtime.config_threadpool")(_SHARE_CORES, self.threads, cores)
        _pool.threads = self.threads

    def _names(self) -> str:
        return ", ".join(spec.name for spec in self.inputs)


def aligned(array: Array) -> Array:
    """Give the array itself if TVM can read it in place (contiguous, writable, aligned), else a copy."""
    fits = array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % ALIGNMENT_BYTES == 0
    if fits and array.dtype.isnative:
        return array
    space = np.empty(array.nbytes + ALIGNMENT_BYTES, np.uint8)
    start = -space.ctypes.data % ALIGNMENT_BYTES
    copy = space[start : start + array.nbytes].view(array.dtype.newbyteorder("=")).reshape(array.shape)
    np.copyto(copy, array)
    return copy


def _is_tuple(result: Any) -> bool:
    return not hasattr(result, "__dlpack__")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
