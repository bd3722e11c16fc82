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
# Functions that compiled code calls by name, of sorting (TopK, NonMaxSuppression) and of random numbers.
EXTRA_LIBRARY = "libtvm_runtime_extra.so"
# Where a bundle has it: before any TVM that may be installed, whose version may be another.
_BUNDLED = Path(__file__).with_name(RUNTIME_LIBRARY)


@lru_cache(maxsize=1)
def load() -> Any:
    """Import tvm_ffi and load TVM's runtime libraries, once.

    `import tvm` would take six times as long, load a 259 MB compiler, and torch where that is installed.

    Raises:
        ArtifactError: the package apache-tvm is not installed.
    """
    with _without_torch():
        import tvm_ffi
    if "tvm" not in sys.modules:
        library = runtime_library()
        for part in (library, library.with_name(EXTRA_LIBRARY)):
            if part.is_file():
                ctypes.CDLL(str(part), ctypes.RTLD_GLOBAL)
    return tvm_ffi


def runtime_library() -> Path:
    """Find TVM's runtime library without importing TVM.

    Raises:
        ArtifactError: the package apache-tvm is not installed.
    """
    if _BUNDLED.is_file():
        return _BUNDLED
    spec = importlib.util.find_spec("tvm")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        library = Path(folder) / "lib" / RUNTIME_LIBRARY
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
