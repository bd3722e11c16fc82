"""NVIDIA's compilers: nvcc of the CUDA toolkit, or NVRTC of the extra `cuda`; CUDA C in, one cubin out.

Both are called without fast math: results are to be those of the source model.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from modeldyno.base.host.packages import installed

INSTALL = "pip install 'modeldyno[cuda]'"
_MAJOR = 13  # of the CUDA that TVM's runtime is linked to: an artifact needs its driver (r580) in any case
# NVRTC has no <math.h>; the rest of what TVM's kernels use, they include themselves.
_PREAMBLE = """#include <cuda/std/limits>
#ifndef INFINITY
#define INFINITY (::cuda::std::numeric_limits<float>::infinity())
#endif
"""


def cuda_compiler() -> str | None:
    """Give which of NVIDIA's compilers is here: nvcc on the PATH, nvrtc (the extra `cuda`), or None."""
    if shutil.which("nvcc"):
        return "nvcc"
    return None if missing_for_nvrtc() else "nvrtc"


def why_no_cuda() -> str:
    """Say what is missing to compile for CUDA; empty where nothing is."""
    if cuda_compiler():
        return ""
    return (
        "there is no CUDA compiler: nvcc (CUDA toolkit) is not on the PATH, and for NVRTC there is no "
        f"{', no '.join(missing_for_nvrtc())}; {INSTALL} brings it"
    )


def missing_for_nvrtc() -> list[str]:
    """Give the packages that NVRTC lacks here."""
    missing = [] if _has_bindings() else ["cuda-bindings"]
    for package, file in (
        ("nvidia-cuda-nvrtc", f"lib/libnvrtc.so.{_MAJOR}"),
        ("nvidia-cuda-runtime", "include/cuda_runtime.h"),
        ("nvidia-cuda-crt", "include/crt/host_config.h"),
        ("nvidia-cuda-cccl", "include/cccl/cuda/std/limits"),
    ):
        if not any((folder / file).is_file() for folder in _folders()):
            missing.append(package)
    return missing


def compiler_name(compiler: str) -> str:
    """Give a compiler's name with its version."""
    if compiler == "nvrtc":
        return f"nvrtc {installed('nvidia-cuda-nvrtc') or ''}".strip()
    done = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=False)  # noqa: S607
    found = re.search(r"release [\d.]+, V([\d.]+)", done.stdout)
    return f"nvcc {found[1]}" if found else "nvcc"


def compile_cuda(source: str, architecture: str, compiler: str) -> bytes:
    """Compile CUDA C for one `architecture` (sm_80), and give the cubin.

    Raises:
        RuntimeError: the compiler failed; the text is what it said. OSError: it could not be run.
    """
    return {"nvcc": _by_nvcc, "nvrtc": _by_nvrtc}[compiler](source, architecture)


def _by_nvcc(source: str, architecture: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="dyno-cuda-") as name:
        text, code = Path(name) / "kernels.cu", Path(name) / "kernels.cubin"
        text.write_text(source)
        command = ["nvcc", "--cubin", "-O3", f"-arch={architecture}", "-o", str(code), str(text)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr or done.stdout or f"nvcc ended with status {done.returncode}")
        return code.read_bytes()


def _by_nvrtc(source: str, architecture: str) -> bytes:
    from cuda.bindings import nvrtc

    includes = [f"-I{folder / part}" for folder in _folders() for part in ("include", "include/cccl")]
    options = [f"--gpu-architecture={architecture}", "-default-device", *includes]
    program = _checked(
        nvrtc, nvrtc.nvrtcCreateProgram((_PREAMBLE + source).encode(), b"kernels.cu", 0, [], [])
    )
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [text.encode() for text in options])
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            log = bytearray(_checked(nvrtc, nvrtc.nvrtcGetProgramLogSize(program)))
            _checked(nvrtc, nvrtc.nvrtcGetProgramLog(program, log))
            raise RuntimeError(log.decode(errors="replace").rstrip("\0") or f"NVRTC: {status.name}")
        code = bytearray(_checked(nvrtc, nvrtc.nvrtcGetCUBINSize(program)))
        _checked(nvrtc, nvrtc.nvrtcGetCUBIN(program, code))
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return bytes(code)


def _checked(nvrtc: Any, answer: tuple[Any, ...]) -> Any:
    """Give what a call of NVRTC answers beside its status."""
    status, *values = answer
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"NVRTC: {status.name}")
    return values[0] if values else None


def _folders() -> list[Path]:
    """Where NVIDIA's packages put their files: one folder for all of a major version."""
    spec = importlib.util.find_spec("nvidia")
    places = (spec.submodule_search_locations or []) if spec else []
    return [folder for place in places if (folder := Path(place) / f"cu{_MAJOR}").is_dir()]


def _has_bindings() -> bool:
    try:
        return importlib.util.find_spec("cuda.bindings.nvrtc") is not None
    except ModuleNotFoundError:
        return False
