"""TVM's runtime without its compiler: tvm_ffi and libtvm_runtime alone, and no torch."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from dyno.errors import ArtifactError

RUNTIME_LIBRARY = "libtvm_runtime.so"
CUDA_LIBRARY = "libtvm_runtime_cuda.so"
# A bundle has them beside this file: before any TVM that may be installed, whose version may be another.


@lru_cache(maxsize=1)
def load() -> Any:
    """Import tvm_ffi and load TVM's runtime library, once.

    `import tvm` would take six times as long, load a 259 MB compiler, and torch where that is installed.

    Raises:
        ArtifactError: the package apache-tvm is not installed.
    """
    with _without_torch():
        import tvm_ffi
    if "tvm" not in sys.modules:
        ctypes.CDLL(str(runtime_library()), ctypes.RTLD_GLOBAL)
    return tvm_ffi


@lru_cache(maxsize=1)
def load_cuda() -> None:
    """Load TVM's runtime for NVIDIA GPUs, once, after that for processors.

    Raises:
        ArtifactError: it, or what it needs of CUDA, is missing.
    """
    load()
    try:
        ctypes.CDLL(str(runtime_library(CUDA_LIBRARY)), ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ArtifactError(
            f"TVM's runtime for NVIDIA GPUs can't be loaded: {error}. It needs the driver, and CUDA's "
            "runtime library (CUDA toolkit, or the package nvidia-cuda-runtime, on LD_LIBRARY_PATH)"
        ) from error


def runtime_library(name: str = RUNTIME_LIBRARY) -> Path:
    """Find TVM's runtime library, or another of TVM's by its name, without importing TVM.

    Raises:
        ArtifactError: the package apache-tvm is not installed.
    """
    bundled = Path(__file__).with_name(name)
    if bundled.is_file():
        return bundled
    spec = importlib.util.find_spec("tvm")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        library = Path(folder) / "lib" / name
        if library.is_file():
            return library
    raise ArtifactError("TVM's runtime library was not found: install the package apache-tvm")


@contextmanager
def _without_torch() -> Iterator[None]:
    """Keep tvm_ffi from importing torch, which it tries first thing, unless torch is there already."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment] # None makes `import torch` an ImportError
    try:
        yield
    finally:
        del sys.modules["torch"]
