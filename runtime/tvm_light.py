"""TVM's runtime without its compiler: tvm_ffi and libtvm_runtime alone, and no torch."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from modeldyno.base.errors import ArtifactError

RUNTIME_LIBRARY = "libtvm_runtime.so"
CUDA_LIBRARY = "libtvm_runtime_cuda.so"
_CUDART = "libcudart.so.13"  # of CUDA 13, which TVM's runtime is linked to
# Functions that compiled code calls by name, of sorting (TopK, NonMaxSuppression) and of random numbers.
EXTRA_LIBRARY = "libtvm_runtime_extra.so"
# A bundle has them beside this file: before any TVM that may be installed, whose version may be another.


@lru_cache(maxsize=1)
def load() -> Any:
    """Import tvm_ffi and load TVM's runtime libraries, once.

    `import tvm` would take six times as long, load a 259 MB compiler, and torch where that is installed.

    Raises:
        ArtifactError: the package apache-tvm is not installed.
    """
    with _without_build_tools(), _without_torch():
        import tvm_ffi
    if "tvm" not in sys.modules:
        library = runtime_library()
        for part in (library, library.with_name(EXTRA_LIBRARY)):
            if part.is_file():
                ctypes.CDLL(str(part), ctypes.RTLD_GLOBAL)
    return tvm_ffi


@lru_cache(maxsize=1)
def load_cuda() -> None:
    """Load TVM's runtime for NVIDIA GPUs, once, after that for processors.

    Raises:
        ArtifactError: it, or what it needs of CUDA, is missing.
    """
    load()
    if not _loads(_CUDART):  # not where the loader looks: NVIDIA's package has it, if anything does
        for library in _packaged_cudart():
            ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    try:
        ctypes.CDLL(str(runtime_library(CUDA_LIBRARY)), ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ArtifactError(
            f"TVM's runtime for NVIDIA GPUs can't be loaded: {error}. It needs NVIDIA's driver, "
            f"580 or newer, and {_CUDART}: pip install 'nvidia-cuda-runtime>=13,<14', or that of the CUDA 13 "
            "toolkit on LD_LIBRARY_PATH"
        ) from error


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def _packaged_cudart() -> list[Path]:
    spec = importlib.util.find_spec("nvidia")
    places = (spec.submodule_search_locations or []) if spec else []
    return [path for place in places if (path := Path(place) / "cu13" / "lib" / _CUDART).is_file()]


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


# What tvm_ffi imports to build extension modules (one of them for torch) and to look for its own library in
# the installed packages: half of its import, and nothing that running a model needs.
_BUILD_TOOLS = ("tvm_ffi.cpp", "tvm_ffi.libinfo", "tvm_ffi._optional_torch_c_dlpack")


@contextmanager
def _without_build_tools() -> Iterator[None]:
    """Keep tvm_ffi from importing these at once; who asks for them later gets them."""
    library = _ffi_library()
    if library is None or any(name in sys.modules for name in ("tvm_ffi", "torch", "tvm")):
        yield
        return
    stand_ins = {name: ModuleType(name) for name in _BUILD_TOOLS}
    stand_ins["tvm_ffi.libinfo"].load_lib_ctypes = (  # type: ignore[attr-defined]
        lambda *_: ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    )
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in _BUILD_TOOLS:
            del sys.modules[name]
    package = vars(sys.modules["tvm_ffi"])
    for name in _BUILD_TOOLS:
        package.pop(name.rpartition(".")[2], None)
    package["__getattr__"] = _build_tool


def _build_tool(name: str) -> ModuleType:
    """Import what was kept out, as an attribute of tvm_ffi."""
    if f"tvm_ffi.{name}" not in _BUILD_TOOLS:
        raise AttributeError(f"module 'tvm_ffi' has no attribute {name!r}")
    return importlib.import_module(f"tvm_ffi.{name}")


def _ffi_library() -> Path | None:
    """Find tvm_ffi's library where its package has it; None where it lies elsewhere."""
    spec = importlib.util.find_spec("tvm_ffi")
    folders = (spec.submodule_search_locations or []) if spec else []
    found = (Path(folder) / "lib" / "libtvm_ffi.so" for folder in folders)
    return next((path for path in found if path.is_file()), None)
