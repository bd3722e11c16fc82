"""A GPU emulated: its kernels as C++ on this processor, under the very library and runtime of the artifact.

TVM's runtime for GPUs is loaded with a stand-in for CUDA's two libraries (gpu_device.c), and starts kernels
made of the same CUDA C (gpu_kernels.h) as the machine code. What is checked is all but that machine code: the
kernels' sums, barriers and shuffles, sizes of grids and blocks, arguments, and copies to and from the GPU.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.errors import CompileError
from modeldyno.base.process.procs import python_module
from modeldyno.compiler.check.emulation.run import run_guest
from modeldyno.compiler.codegen.link import lld
from modeldyno.compiler.model.arrays import Array

NAME = "emulated: the CUDA C on this processor"
_HERE = Path(__file__).parent
_CUDART, _DRIVER = "libcudart.so.13", "libcuda.so.1"
_VERSIONS = f"{_CUDART} {{ cuda*; }};"  # TVM's runtime asks for the symbols of this version
_FLAGS = ("-O2", "-fPIC", "-w")
_CXX = ("-x", "c++", "-std=c++17", "-fno-exceptions", "-fno-rtti")
_SHARED = re.compile(r"\b__shared__ (alignas\(\d+\)) ")
_KERNEL = re.compile(r"__global__ void (?:__launch_bounds__\((\d+)\) )?(\w+)\(([^)]*)\) \{")
_LIBRARY, _PACKAGES = "LD_LIBRARY_PATH", "PYTHONPATH"


@dataclass(frozen=True)
class EmulatedGpu:
    """An artifact on an emulated GPU, with the `run` of a session. `backwards`: threads in reverse order."""

    artifact: Path
    source: str
    capability: str  # 80 for sm_80
    backwards: bool = False
    name: str = NAME

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run one inference; see `run_all`."""
        return self.run_all([feeds])[0]

    def run_all(self, feeds: Sequence[dict[str, Array]]) -> list[dict[str, Array]]:
        """Run several inferences in one process.

        Raises:
            CompileError: the kernels can't be made for a processor, or crashed.
            ArtifactError: the artifact can't be loaded, or a kernel can't be started.
        """
        with tempfile.TemporaryDirectory(prefix="dyno-gpu-") as name:
            folder = Path(name)
            build_emulation(folder, self.source, f"sm_{self.capability}")
            return run_guest(
                folder,
                lambda arguments: [sys.executable, "-B", *arguments],
                self._environment(folder),
                [(self.artifact, each) for each in feeds],
                target=f"sm_{self.capability}",
            )

    def _environment(self, folder: Path) -> dict[str, str]:
        found = dict(os.environ)
        found[_LIBRARY] = ":".join(filter(None, (str(folder), os.environ.get(_LIBRARY))))
        found[_PACKAGES] = ":".join(filter(None, sys.path))
        found["DYNO_GPU_KERNELS"] = str(folder / "kernels.so")
        found["DYNO_GPU_CAPABILITY"] = self.capability
        return found | ({"DYNO_GPU_BACKWARDS": "1"} if self.backwards else {})


def build_emulation(folder: Path, source: str, target: str) -> None:
    """Write the kernels of some CUDA C, and the stand-in for CUDA's libraries, as libraries into `folder`.

    Raises:
        CompileError: they can't be compiled.
    """
    (folder / "kernels.cpp").write_text(as_cpp(source))
    (folder / "versions").write_text(_VERSIONS)
    _library([*_CXX, str(folder / "kernels.cpp")], [], folder / "kernels.so", target)
    named = [f"--version-script={folder / 'versions'}", "-soname", _CUDART]
    _library([str(_HERE / "gpu_device.c")], named, folder / _CUDART, target)
    (folder / _DRIVER).symlink_to(_CUDART)  # one file: the loader takes it once, and finds both names in it


def as_cpp(source: str) -> str:
    """Turn CUDA C as TVM writes it into C++, with a function `emulated_NAME` to start each kernel."""
    kernels = source[source.index('extern "C" __global__') :]
    kernels = _SHARED.sub(r"\1 DYNO_SHARED ", kernels)
    found = list(_KERNEL.finditer(kernels))
    ends = [each.start() for each in found[1:]] + [len(kernels)]
    starts = [_start(each, kernels[each.end() : end]) for each, end in zip(found, ends, strict=True)]
    return "\n".join([(_HERE / "gpu_kernels.h").read_text(), kernels, *starts])


def _start(kernel: re.Match[str], body: str) -> str:
    """Give the C++ that takes a kernel's arguments out of CUDA's array of them, and runs its grid."""
    most, name, declared = kernel.groups()
    types = [
        each.replace("__restrict__", "").rsplit(None, 1)[0].strip() for each in declared.split(", ") if each
    ]
    arguments = ", ".join(f"*({kind} *)dyno::arguments_now[{place}]" for place, kind in enumerate(types))
    waits = "true" if re.search(r"__sync|_sync\(|__activemask", body) else "false"
    return (
        f"static void call_{name}() {{ {name}({arguments}); }}\n"
        f'extern "C" int emulated_{name}(const unsigned *dims, void **arguments, char *why) {{\n'
        f"  return dyno::launch(dims, arguments, why, call_{name}, {most or 1}, {waits});\n}}"
    )


def _library(source: Sequence[str], options: Sequence[str], library: Path, target: str) -> None:
    """Compile and link; LLD by itself, since zig would first build the parts of a C library for it."""
    made = library.with_suffix(".o")
    command = python_module("ziglang", "cc", "-c", *_FLAGS, *source, "-o", str(made))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            raise RuntimeError(done.stderr)
        lld(["-m", "elf_x86_64", "-shared", "-z", "noexecstack", *options, "-o", str(library), str(made)])
    except RuntimeError as error:
        said = [line for line in str(error).splitlines() if "error" in line] or [str(error)[-300:]]
        raise CompileError(
            f"the emulation can't be built: {said[0].strip()}",
            hint="`verify=False` compiles without this check",
            stage="verify",
            target=target,
        ) from error
