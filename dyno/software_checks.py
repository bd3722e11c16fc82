"""The software around: compilers, Python packages, CUDA."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from dyno.findings import Finding, finding
from dyno.host import gpus

REQUIRED_PACKAGES = {
    "apache-tvm": "dyno compile",
    "onnx": "dyno compile",
    "onnxruntime": "the uncompiled baseline",
    "locust": "dyno load",
    "numpy": "dyno run",
}
OPTIONAL_PACKAGES = {"torch": ("torch.export models (.pt2)", "pip install 'modeldyno[torch]'")}
# The order in which TVM looks for one.
LINKERS = ("g++", "gcc", "clang++", "clang", "c++", "cc")


def software_findings(environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Look for compilers, packages and CUDA."""
    chosen = environment.get("CXX") or environment.get("CC")
    nvcc = shutil.which("nvcc")
    return [
        linker(chosen, find_linker(chosen), _version("ziglang")),
        finding("Python", "python", "ok", f"Python {platform.python_version()}"),
        *(package(name, _version(name)) for name in (*REQUIRED_PACKAGES, *OPTIONAL_PACKAGES)),
        gpu(gpus()),
        cuda_compiler(_last_line([nvcc, "--version"]) if nvcc else None),
    ]


def find_linker(chosen: str | None) -> str | None:
    """Path of the compiler that links compiled models: `chosen` (CXX or CC), else the first of LINKERS."""
    names = (chosen,) if chosen else LINKERS
    return next((path for name in names if (path := shutil.which(name))), None)


def linker(chosen: str | None, path: str | None, zig: str | None) -> Finding:
    """Judge the C compiler, which turns a compiled model into a shared library."""
    if path is not None:
        version_line = _first_line([path, "--version"]) or "version not told"
        return finding("Compilers", "linker", "ok", f"{path} links compiled models: {version_line}")
    if chosen:
        text = f"CXX or CC is {chosen!r}, which is not on PATH: dyno compile can't link"
        return finding(
            "Compilers", "linker", "missing", text, "unset CXX and CC, or name a compiler that is there"
        )
    if zig is not None:
        text = f"no C compiler on PATH; the package ziglang {zig} links compiled models instead"
        return finding("Compilers", "linker", "ok", text)
    text = "neither a C compiler nor the package ziglang: dyno compile can't link; serving .onnx files works"
    return finding("Compilers", "linker", "missing", text, "install gcc or clang, or `pip install ziglang`")


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
    """Name the CUDA compiler; `version_line` is None where there is none."""
    if version_line is not None:
        return finding("GPU", "nvcc", "ok", f"nvcc: {version_line or 'version not told'}")
    return finding("GPU", "nvcc", "note", "no CUDA toolkit (nvcc) on PATH", "only models for a GPU need it")


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
