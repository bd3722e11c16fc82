"""GPU code, made where no GPU is: the architecture in it, what is missing, and what a machine may run."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from modeldyno.base.errors import ArtifactError, CompileError, ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.check.reach import runs_where, why_not_built
from modeldyno.compiler.codegen import cuda, cuda_compilers
from modeldyno.compiler.codegen.cubin import read_cubin
from modeldyno.compiler.codegen.cuda_compilers import compile_cuda, missing_for_nvrtc, why_no_cuda
from modeldyno.compiler.frontends.onnx.file import read_onnx
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.compiler.stages.run import run_stages
from modeldyno.compiler.targets.catalog import TARGETS
from modeldyno.runtime import gpu, tvm_light
from modeldyno.runtime.gpu import CPU, GpuLane, check_gpu, offer_kernels
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import GPU_CODE_NAME
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.origin import GpuCodeFile
from modeldyno.runtime.tools.bundle import write_bundle
from modeldyno.runtime.tools.inspection import inspect_artifact
from tests.compiler.models import add_net, constant, mlp, model, node, saved, tensor

GPUS = [name for name, target in TARGETS.items() if target.kind == "cuda"]
needs_compiler = pytest.mark.skipif(bool(why_no_cuda()), reason="no CUDA compiler is installed")
HERE = host_facts()


@pytest.fixture(scope="module")
def ampere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    net = saved(folder / "net.onnx", mlp())
    compile_model(net, folder / "artifact", target="cuda-sm_80", options=Options(verify=False))
    return folder / "artifact"


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """CUDA C of a model with a matrix product and a softmax."""
    folder = tmp_path_factory.mktemp("source")
    source = read_onnx(saved(folder / "net.onnx", mlp()), {})
    target = TARGETS["cuda-sm_75"]
    return cuda.cuda_source(run_stages(source, target).executable, target)


@needs_compiler
@pytest.mark.parametrize("name", GPUS)
def test_every_gpu_preset_compiles_to_machine_code_of_its_architecture(name: str, tmp_path: Path) -> None:
    net = saved(tmp_path / "net.onnx", add_net())
    manifest = compile_model(net, tmp_path / "artifact", target=name, options=Options(verify=False))
    assert (manifest.target.kind, f"cuda-{manifest.target.cpu}") == ("cuda", name)
    assert manifest.gpu_code is not None
    code = (tmp_path / "artifact" / GPU_CODE_NAME).read_bytes()
    assert manifest.gpu_code.bytes == len(code)
    assert f"cuda-sm_{read_cubin(code).architecture}" == name


@pytest.mark.parametrize("compiler", ["nvcc", "nvrtc"])
def test_both_compilers_make_all_kernels_for_every_preset(kernels: str, compiler: str) -> None:
    if compiler == "nvcc" and not shutil.which("nvcc"):
        pytest.skip("nvcc is not on the PATH")
    if compiler == "nvrtc" and missing_for_nvrtc():
        pytest.skip(f"not installed: {', '.join(missing_for_nvrtc())} (the extra cuda)")
    names = cuda.kernel_names(kernels)
    assert {"matmul1_kernel", "softmax_kernel"} <= names
    for name in GPUS:
        found = read_cubin(compile_cuda(kernels, TARGETS[name].cpu, compiler))
        assert f"cuda-sm_{found.architecture}" == name
        assert found.kernels == names
        assert not found.missing


@needs_compiler
def test_a_kernel_that_calls_what_is_not_there_is_refused() -> None:
    source = """extern "C" __device__ float nowhere(float);
extern "C" __global__ void __launch_bounds__(32) one_kernel(float* x) { x[0] = nowhere(x[1]); }"""
    with pytest.raises(CompileError, match=r"lacks.*nowhere|[Uu]n(resolved|defined).*nowhere"):
        cuda.compile_kernels(source, TARGETS["cuda-sm_90"])


@needs_compiler
def test_what_nvidias_compiler_says_is_told() -> None:
    source = 'extern "C" __global__ void one_kernel(float* x) { x[0] = sorry; }'
    with pytest.raises(CompileError, match=r"failed for sm_75: .*sorry"):
        cuda.compile_kernels(source, TARGETS["cuda-sm_75"])


@pytest.mark.parametrize("code", [b"", b"\x7fELF\x02\x01\x01", bytes(100)])
def test_what_is_no_cubin_is_said_to_be_none(code: bytes) -> None:
    with pytest.raises(ValueError, match="cubin"):
        read_cubin(code)


def test_without_a_compiler_the_error_says_what_is_missing_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cuda_compilers, "missing_for_nvrtc", lambda: ["cuda-bindings", "nvidia-cuda-crt"])
    net = saved(tmp_path / "net.onnx", add_net())
    with pytest.raises(ConfigError, match=r"nvcc .* not on the PATH.*no nvidia-cuda-crt; pip install .*cuda"):
        compile_model(net, tmp_path / "artifact", target="ml_p4d")
    assert not (tmp_path / "artifact").exists()
    assert "no CUDA compiler" in why_not_built(TARGETS["cuda-sm_80"])


def test_a_gpu_target_is_never_said_to_run_here_by_itself() -> None:
    facts = HERE.model_copy(update={"gpus": ("NVIDIA A10G",)})
    assert runs_where(TARGETS["cuda-sm_86"], facts).runs == "emulated"
    assert "NVIDIA A10G" in runs_where(TARGETS["cuda-sm_86"], facts).reason


def test_kernels_are_not_emulated_on_a_processor_of_another_kind() -> None:
    facts = HERE.model_copy(update={"architecture": "aarch64"})
    assert runs_where(TARGETS["cuda-sm_86"], facts).runs == "no"


@needs_compiler
@pytest.mark.parametrize(
    ("capability", "message"),
    [
        (None, "this machine has none, or no driver"),
        ((9, 0), r"the GPU here is sm_90: compile it again for the target cuda-sm_90"),
        ((7, 5), "the GPU here is sm_75"),
    ],
)
def test_a_gpu_that_cannot_run_it_is_told_before_anything_is_loaded(
    ampere: Path, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None, message: str
) -> None:
    monkeypatch.setattr(gpu, "compute_capability", lambda: capability)
    with pytest.raises(ArtifactError, match=message):
        open_session(ampere)
    unfit = inspect_artifact(ampere, HERE).unfit
    assert unfit is not None
    assert "sm_80" in unfit


@needs_compiler
@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (8, 9)])
def test_a_gpu_of_the_same_generation_and_no_older_runs_it(
    ampere: Path, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    monkeypatch.setattr(gpu, "compute_capability", lambda: capability)
    check_gpu(ampere, read_manifest(ampere))


@needs_compiler
def test_changed_gpu_code_is_refused(ampere: Path, tmp_path: Path) -> None:
    file = read_manifest(ampere).gpu_code
    assert file is not None
    code = bytearray((ampere / GPU_CODE_NAME).read_bytes())
    code[-1] ^= 1
    (tmp_path / GPU_CODE_NAME).write_bytes(code)
    with pytest.raises(ArtifactError, match="its digest is not the manifest's"):
        offer_kernels(tvm_light.load(), tmp_path, file)


def test_each_library_gets_its_own_kernels_however_many_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_offered", {})
    asked: dict[str, Callable[[str, str], bytes]] = {}
    ffi = SimpleNamespace(register_global_func=lambda name, func, **_: asked.update({name: func}))
    for source in ("first", "second", ""):  # the last is of an older version, which names no source
        folder = tmp_path / (source or "older")
        folder.mkdir()
        code = f"code of the {source}".encode()
        (folder / GPU_CODE_NAME).write_bytes(code)
        file = GpuCodeFile(
            digest=digest_of(code),
            source_digest=digest_of(source.encode()) if source else "",
            bytes=len(code),
            format="cubin",
            compiler="a test",
        )
        offer_kernels(ffi, folder, file)
    machine_code = asked["tvm_callback_cuda_compile"]
    assert machine_code("first", "cuda") == b"code of the first"
    assert machine_code("second", "cuda") == b"code of the second"
    assert machine_code("unknown", "cuda") == b"code of the "


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


@needs_compiler
def test_a_bundle_holds_the_kernels_and_the_runtime_for_gpus(ampere: Path, tmp_path: Path) -> None:
    with tarfile.open(write_bundle(ampere, tmp_path / "app.tar.gz").path) as archive:
        names = set(archive.getnames())
    assert {
        "app/artifact/kernels.bin",
        "app/lib/modeldyno/runtime/libtvm_runtime_cuda.so",
        "app/lib/modeldyno/runtime/gpu.py",
    } <= names


def test_the_lane_of_a_gpu_gives_the_outputs_of_a_library_that_holds_its_weights(tmp_path: Path) -> None:
    # On the processor: all but the device is what a GPU gets. Branches keep the weights in the library.
    branches = {
        f"{name}_branch": onnx.helper.make_graph(
            [node(operator, "x c", name)], name, [], [tensor(name, [2, 3])], [constant("c", 3.0, "float32")]
        )
        for name, operator in (("then", "Mul"), ("else", "Add"))
    }
    net = model(
        [node("If", "flag", "y", **branches)],
        [tensor("flag", [], onnx.TensorProto.BOOL), tensor("x", [2, 3])],
        [tensor("y", [2, 3])],
    )
    manifest = compile_model(saved(tmp_path / "net.onnx", net), tmp_path / "artifact")
    assert manifest.weights is None
    ffi = tvm_light.load()
    lane = GpuLane(ffi, ffi.load_module(str(tmp_path / "artifact" / "model.so")), manifest, kind=CPU)
    lane.inputs["x"][:] = np.arange(6, dtype=np.float32).reshape(2, 3)
    for flag, expected in ((True, lane.inputs["x"] * 3), (False, lane.inputs["x"] + 3)):
        lane.inputs["flag"][...] = flag
        np.testing.assert_array_equal(lane.run()["y"], expected)
