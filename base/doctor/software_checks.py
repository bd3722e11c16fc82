"""The software around: compilers, Python packages, CUDA."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

from modeldyno.base.doctor.findings import Finding, finding
from modeldyno.base.host.facts import gpus

REQUIRED_PACKAGES = {
    "apache-tvm": "dyno compile",
    "ziglang": "dyno compile (its LLD links the artifacts)",
    "onnx": "dyno compile",
    "onnxruntime": "the uncompiled baseline",
    "locust": "dyno load",
    "numpy": "dyno run",
}
OPTIONAL_PACKAGES = {"torch": ("torch.export models (.pt2)", "pip install 'modeldyno[torch]'")}
# Those of the extra `cuda`.
NVRTC_PACKAGES = (
    *("cuda-bindings", "nvidia-cuda-cccl", "nvidia-cuda-crt", "nvidia-cuda-nvrtc"),
    "nvidia-cuda-runtime",
)
COMPILERS = ("gcc", "clang", "cc")


def software_findings() -> list[Finding]:
    """Look for compilers, packages and CUDA."""
    nvcc = shutil.which("nvcc")
    return [
        c_compiler(next((path for name in COMPILERS if (path := shutil.which(name))), None)),
        finding("Python", "python", "ok", f"Python {platform.python_version()}"),
        *(package(name, _version(name)) for name in (*REQUIRED_PACKAGES, *OPTIONAL_PACKAGES)),
        gpu(gpus()),
        cuda_compiler(_last_line([nvcc, "--version"]) if nvcc else None),
        nvrtc({name: _version(name) for name in NVRTC_PACKAGES}),
    ]


def c_compiler(path: str | None) -> Finding:
    """Name the C compiler. Nothing here needs one: LLD from the package ziglang links compiled models."""
    if path is None:
        return finding("Compilers", "c_compiler", "ok", "no C compiler on PATH, and none is needed")
    told = _first_line([path, "--version"]) or "version not told"
    return finding("Compilers", "c_compiler", "ok", f"{path}: {told} (not needed: LLD links compiled models)")


def package(name: str, found: str | None) -> Finding:
    """Judge one Python package by its version, None where it is not installed; it is not imported."""
    if found is not None:
        return finding("Python", name, "ok", f"{name} {found}")
    if name in OPTIONAL_PACKAGES:
        purpose, advice = OPTIONAL_PACKAGES[name]
        return finding("Python", name, "note", f"{name} is not installed: needed for {purpose} only", advice)
    text = f"{name} is not installed: needed for {REQUIRED_PACKAGES[name]}"
    return finding("Python", name, "missing", text, "install modeldyno with its dependencies again")


def gpu(names: tuple[str, ...]) -> Finding:
    """Name the GPUs."""
    if names:
        return finding("GPU", "gpu", "ok", ", ".join(names))
    return finding("GPU", "gpu", "note", "no NVIDIA GPU (nvidia-smi names none): CUDA code can't run here")


def cuda_compiler(version_line: str | None) -> Finding:
    """Name the CUDA toolkit's compiler; `version_line` is None where there is none."""
    if version_line is not None:
        return finding("GPU", "nvcc", "ok", f"nvcc: {version_line or 'version not told'}")
    return finding("GPU", "nvcc", "note", "no CUDA toolkit (nvcc) on PATH: NVRTC compiles for a GPU too")


def nvrtc(versions: dict[str, str | None]) -> Finding:
    """Name NVRTC, which compiles for a GPU where there is no nvcc; it takes all of these packages."""
    missing = [name for name, found in versions.items() if found is None]
    if not missing:
        return finding("GPU", "nvrtc", "ok", f"NVRTC {versions['nvidia-cuda-nvrtc']}")
    advice = "only models for a GPU need nvcc or NVRTC: pip install 'modeldyno[cuda]'"
    return finding("GPU", "nvrtc", "note", f"no NVRTC: {', '.join(missing)} not installed", advice)


def _first_line(command: list[str]) -> str:
    return next(iter(_lines(command)), "")


def _last_line(command: list[str]) -> str:
    return next(reversed(_lines(command)), "")


def _lines(command: list[str]) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.strip().splitlines()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
