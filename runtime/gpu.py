"""A lane on an NVIDIA GPU, and whether this machine has one that can run an artifact."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ArtifactError
from modeldyno.runtime.memory import empty_aligned
from modeldyno.runtime.records.guards import WORD, check_word
from modeldyno.runtime.records.manifest import GPU_CODE_NAME, Manifest
from modeldyno.runtime.records.manifest_file import digest_bytes
from modeldyno.runtime.records.origin import GpuCodeFile

Array = npt.NDArray[Any]
CPU, CUDA = 1, 2
_POOLED_ALLOCATOR = 2
_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_DRIVER = "libcuda.so.1"


def check_gpu(folder: Path, manifest: Manifest) -> None:
    """Raise an ArtifactError that says why, where this machine's first GPU can't run the code.

    Code for sm_XY runs on GPUs of the same X and the same or a larger Y.
    """
    wanted = manifest.target.cpu.removeprefix("sm_")
    major, minor = int(wanted[:-1]), int(wanted[-1])
    found = compute_capability()
    if found is None:
        raise ArtifactError(
            f"{folder} was compiled for NVIDIA GPUs ({manifest.target.cpu}); this machine has none, or no "
            f"driver ({_DRIVER})"
        )
    if found[0] != major or found[1] < minor:
        raise ArtifactError(
            f"{folder} was compiled for {manifest.target.cpu}; the GPU here is sm_{found[0]}{found[1]}",
            hint=f"compile it again for the target cuda-sm_{found[0]}{found[1]}",
        )


def offer_kernels(ffi: Any, folder: Path, file: GpuCodeFile) -> None:
    """Give TVM's runtime the kernels of an artifact, for which it would ask a compiler.

    A library holds their source; what it says is not read again.

    Raises:
        ArtifactError: the file is not the one that the manifest names.
    """
    _offered[file.source_digest] = read_kernels(folder, file)
    ffi.register_global_func("tvm_callback_cuda_compile", _machine_code, override=True)


# The runtime has one callback for all the libraries of a process, and calls it with the library's CUDA C: the
# digest of that tells whose kernels are asked for. Under "" lie those of the last artifact that names none.
_offered: dict[str, bytes] = {}


def _machine_code(source: str, *_: object) -> bytes:
    digest = digest_bytes(source.encode())
    found = _offered.get(digest, _offered.get(""))
    if found is None:
        raise ArtifactError(
            f"no loaded artifact has the machine code of these GPU kernels ({digest[:16]}): "
            f"library and manifest are of different compiles; compile the model again"
        )
    return found


def read_kernels(folder: Path, file: GpuCodeFile) -> bytes:
    """Read the machine code of an artifact's kernels.

    Raises:
        ArtifactError: the file is missing, or not the one that the manifest names.
    """
    path = folder / GPU_CODE_NAME
    try:
        code = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{folder} is damaged: cannot read {GPU_CODE_NAME} ({error.strerror})") from error
    if digest_bytes(code) != file.digest:
        raise ArtifactError(f"{path} is damaged: its digest is not the manifest's; copy or compile it again")
    return code


def compute_capability() -> tuple[int, int] | None:
    """Ask the driver for the first GPU's compute capability; None without GPU or driver."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return None
    device, value = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    numbers = []
    for attribute in _CAPABILITY:
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return None
        numbers.append(value.value)
    return numbers[0], numbers[1]


class GpuLane:
    """A virtual machine on a GPU; for one thread at a time.

    `inputs` are arrays in this machine's memory, by name: `run` copies them to the GPU and the results back.
    The weights are in the library, and the virtual machine has put them on the GPU.
    """

    def __init__(
        self, ffi: Any, library: Any, manifest: Manifest, _weights: Sequence[Array] = (), kind: int = CUDA
    ) -> None:
        self.module = library["vm_load_executable"]()
        devices = [(kind, 0, _POOLED_ALLOCATOR)] + ([(CPU, 0, _POOLED_ALLOCATOR)] if kind != CPU else [])
        self.module["vm_initialization"](*(number for device in devices for number in device))
        self.inputs: dict[str, Array] = {
            spec.name: empty_aligned(tuple(dim for dim in spec.shape if dim is not None), spec.dtype)
            for spec in manifest.inputs
        }
        self._outputs = [
            (spec.name, np.empty(tuple(dim for dim in spec.shape if dim is not None), spec.dtype))
            for spec in manifest.outputs
        ]
        self._tensors = [ffi.from_dlpack(array) for array in self.inputs.values()]
        self._copy_out = ffi.get_global_func("runtime.TVMTensorCopyToBytes")
        self._sync = ffi.get_global_func("runtime.Device_StreamSync")
        self._device = ffi.device({CPU: "cpu", CUDA: "cuda"}[kind], 0)
        self._guards = manifest.guards
        self._word = np.zeros(WORD, np.int64)

    def run(self) -> dict[str, Array]:
        """Run on what `inputs` hold; the results are overwritten by the next run.

        Raises:
            RequestError: an index is out of range, or a divisor of whole numbers is 0.
        """
        self.upload()
        self.invoke()
        found = self._results()
        if self._guards:
            self._copy(found.pop(), self._word)
            check_word(self._guards, self._word)
        for (_, array), tensor in zip(self._outputs, found, strict=True):
            self._copy(tensor, array)
        return dict(self._outputs)

    def _copy(self, tensor: Any, array: Array) -> None:
        self._copy_out(tensor, ctypes.c_void_p(array.ctypes.data), array.nbytes)

    def upload(self) -> None:
        """Copy the inputs to the GPU."""
        self.module["set_input"]("main", *self._tensors)

    def invoke(self) -> None:
        """Run on what was uploaded, and wait for the end."""
        self.module["invoke_stateful"]("main")
        self._sync(self._device, 0)

    def _results(self) -> list[Any]:
        arity = self.module["get_output_arity"]("main")
        if arity == -1:
            return [self.module["get_output"]("main")]
        return [self.module["get_output"]("main", place) for place in range(arity)]
