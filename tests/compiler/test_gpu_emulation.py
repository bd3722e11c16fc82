"""GPU kernels on the processor: what the emulation computes, and what it finds wrong."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16

from benchmarks.zoo.registry import onnx_file
from modeldyno.base.errors import ArtifactError, CompileError, ParityError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.check.emulation import gpu
from modeldyno.compiler.check.emulation.gpu import NAME, EmulatedGpu, build_emulation
from modeldyno.compiler.codegen import cuda
from modeldyno.compiler.codegen.cuda_compilers import why_no_cuda
from modeldyno.compiler.models import compile_model
from modeldyno.runtime.sessions.feeds import random_feeds
from tests.compiler.models import mlp, model, node, saved, tensor, weights

pytestmark = pytest.mark.skipif(host_facts().architecture != "x86_64", reason="the emulation is for x86-64")
needs_compiler = pytest.mark.skipif(bool(why_no_cuda()), reason="no CUDA compiler is installed")

KERNELS = """
extern "C" __global__ void __launch_bounds__(64) reverse_kernel(float* to, float* from) {
  __shared__ alignas(64) float whole[64];
  whole[threadIdx.x] = from[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  to[blockIdx.x * 64 + threadIdx.x] = whole[63 - threadIdx.x];
}
extern "C" __global__ void __launch_bounds__(64) racy_kernel(float* to, float* from) {
  __shared__ alignas(64) float whole[64];
  whole[threadIdx.x] = from[threadIdx.x];
  to[threadIdx.x] = whole[63 - threadIdx.x];
  __syncthreads();
}
extern "C" __global__ void __launch_bounds__(64) lonely_kernel(float* __restrict__ to) {
  if (threadIdx.x < 40) __syncthreads();
  else __syncwarp();
  to[threadIdx.x] = 1.0f;
  if (threadIdx.x >= 40) __syncthreads();
}
extern "C" __global__ void __launch_bounds__(64) shuffle_kernel(float* __restrict__ to, int by) {
  float mine = threadIdx.y * 100 + threadIdx.x;
  float down = __shfl_down_sync(__activemask(), mine, by, 32), up = __shfl_up_sync(~0u, mine, by, 32);
  float across = __shfl_xor_sync(~0u, mine, by, 32), first = __shfl_sync(~0u, mine, 0, 16);
  float* place = to + (threadIdx.y * 32 + threadIdx.x) * 4;
  *(float4*)place = make_float4(down, up, across, first);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("emulated")
    build_emulation(folder, KERNELS, "sm_80")
    return ctypes.CDLL(str(folder / "kernels.so"))


def start(library: ctypes.CDLL, name: str, dims: Sequence[int], *arguments: Any) -> str:
    """Start a kernel on grid x y z, block x y z and bytes of shared memory; give why it failed."""
    kept = [ctypes.c_void_p(each.ctypes.data) if isinstance(each, np.ndarray) else each for each in arguments]
    places = (ctypes.c_void_p * len(kept))(*(ctypes.addressof(each) for each in kept))
    why = ctypes.create_string_buffer(512)
    failed = library[f"emulated_{name}"]((ctypes.c_uint * 7)(*dims), places, why)
    return why.value.decode() if failed else ""


def test_threads_of_a_block_wait_for_each_other_at_a_barrier(library: ctypes.CDLL) -> None:
    given = np.arange(192, dtype=np.float32)
    found = np.zeros_like(given)
    assert not start(library, "reverse_kernel", (3, 1, 1, 64, 1, 1, 0), found, given)
    np.testing.assert_array_equal(found, given.reshape(3, 64)[:, ::-1].ravel())


def test_where_a_barrier_is_missing_unwritten_shared_memory_is_read_as_nan(library: ctypes.CDLL) -> None:
    given, found = np.ones(64, np.float32), np.zeros(64, np.float32)
    assert not start(library, "racy_kernel", (1, 1, 1, 64, 1, 1, 0), found, given)
    assert np.isnan(found[:32]).all()


def test_shuffles_give_what_the_programming_guide_says(library: ctypes.CDLL) -> None:
    found = np.zeros((2, 32, 4), np.float32)
    assert not start(library, "shuffle_kernel", (1, 1, 1, 32, 2, 1, 0), found, ctypes.c_int(4))
    lanes = np.arange(32)
    for warp in (0, 1):
        down, up, across, first = (found[warp] - 100 * warp).T
        np.testing.assert_array_equal(down, np.where(lanes < 28, lanes + 4, lanes))
        np.testing.assert_array_equal(up, np.where(lanes >= 4, lanes - 4, lanes))
        np.testing.assert_array_equal(across, lanes ^ 4)
        np.testing.assert_array_equal(first, lanes // 16 * 16)


@pytest.mark.parametrize(
    ("dims", "why"),
    [
        ((1, 1, 1, 128, 1, 1, 0), "128 threads in a block, compiled for 64 at most"),
        ((1, 70000, 1, 64, 1, 1, 0), "70000 x 1 blocks in y and z is too large"),
        ((1, 1, 1, 64, 1, 1, 50000), "50000 bytes of shared memory, 49152 at most"),
    ],
)
def test_what_no_gpu_would_start_is_refused(library: ctypes.CDLL, dims: Sequence[int], why: str) -> None:
    array = np.zeros(64, np.float32)
    assert why in start(library, "reverse_kernel", dims, array, array)


def test_threads_that_wait_for_what_never_comes_are_an_error(library: ctypes.CDLL) -> None:
    found = np.zeros(64, np.float32)
    why = start(library, "lonely_kernel", (1, 1, 1, 64, 1, 1, 0), found)
    assert why == "block 0: 64 threads wait for others that do not come"


def test_cuda_c_that_the_emulation_does_not_know_is_said(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"can't be built: .*__dp4a.*`verify=False`"):
        build_emulation(tmp_path, KERNELS.replace("1.0f", "__dp4a(1, 2, 3)"), "sm_80")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convolutions (dense, depthwise), a norm, a product, a softmax and sums, as small as they can be."""
    nodes = [
        node("Conv", "x w0", "dense", pads=[1, 1, 1, 1]),
        node("Relu", "dense", "positive"),
        node("Conv", "positive w1", "deep", pads=[1, 1, 1, 1], group=6),
        node("GlobalAveragePool", "deep", "mean"),
        node("Sub", "deep mean", "centred"),
        node("Reshape", "centred rows", "flat"),
        node("LayerNormalization", "flat gain", "norm"),
        node("MatMul", "norm w2", "product"),
        node("Softmax", "product", "y"),
        node("ReduceMax", "product", "top", keepdims=0),
    ]
    stored = [weights("w0", 6, 3, 3, 3), weights("w1", 6, 1, 3, 3), weights("w2", 50, 40)]
    stored += [onnx.numpy_helper.from_array(np.ones(50, np.float32), "gain")]
    stored += [onnx.numpy_helper.from_array(np.array([12, 50]), "rows")]
    made = model(nodes, [tensor("x", [1, 3, 10, 10])], [tensor("y", [12, 40]), tensor("top", [])], stored)
    return saved(tmp_path_factory.mktemp("net") / "net.onnx", made)


@needs_compiler
def test_a_models_kernels_are_checked_with_its_library_and_do_not_depend_on_the_order_of_threads(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[str] = []
    real = cuda.cuda_source

    def kept(executable: Any, target: Any) -> str:
        sources.append(real(executable, target))
        return sources[-1]

    monkeypatch.setattr(cuda, "cuda_source", kept)
    manifest = compile_model(net, tmp_path / "artifact", target="cuda-sm_86")
    assert manifest.parity is not None
    assert manifest.parity.ran_on == NAME
    assert max(each.max_rel for each in manifest.parity.outputs) < 1e-5
    assert "__syncthreads" in sources[0]
    assert "__shfl_down_sync" in sources[0]
    feeds = random_feeds(manifest.inputs, 1)
    forth, back = (
        EmulatedGpu(tmp_path / "artifact", sources[0], "86", backwards=backwards).run(feeds)
        for backwards in (False, True)
    )
    for name, array in forth.items():
        np.testing.assert_array_equal(array, back[name])
    with pytest.raises(ArtifactError, match=r"compiled for sm_86; the GPU here is sm_75"):
        EmulatedGpu(tmp_path / "artifact", sources[0], "75").run(feeds)


@needs_compiler
def test_a_wrong_kernel_leaves_no_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = gpu.as_cpp
    monkeypatch.setattr(gpu, "as_cpp", lambda source: real(source.replace("__syncthreads();", "")))
    with pytest.raises(ParityError, match="differs"):
        compile_model(saved(tmp_path / "net.onnx", mlp()), tmp_path / "artifact", target="cuda-sm_86")
    assert not (tmp_path / "artifact").exists()


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "minilm_l6"])
def test_the_kernels_of_real_models_agree_with_their_source(name: str, tmp_path: Path) -> None:
    net = onnx_file(name, tmp_path / "zoo")
    manifest = compile_model(net, tmp_path / "artifact", target="cuda-sm_80")
    assert manifest.parity is not None
    assert manifest.parity.ran_on == NAME
    assert max(each.max_rel for each in manifest.parity.outputs) < 1e-4


@needs_compiler
def test_an_index_out_of_range_is_refused_on_a_gpu_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, real = [], cuda.cuda_source

    def kept(executable: Any, target: Any) -> str:
        sources.append(real(executable, target))
        return sources[-1]

    monkeypatch.setattr(cuda, "cuda_source", kept)
    made = model(
        [node("Gather", "table ids", "y", name="lookup")],
        [tensor("ids", [2], onnx.TensorProto.INT64)],
        [tensor("y", [2, 3])],
        [weights("table", 5, 3)],
    )
    compile_model(saved(tmp_path / "m.onnx", made), tmp_path / "artifact", target="cuda-sm_86")
    gpu = EmulatedGpu(tmp_path / "artifact", sources[0], "86")
    rows = onnx.numpy_helper.to_array(made.graph.initializer[0])
    np.testing.assert_array_equal(gpu.run({"ids": np.array([-5, 4])})["y"], rows[[0, 4]])
    with pytest.raises(ArtifactError, match=r"Gather 'lookup': its input 'ids' holds 5 at \[1\]"):
        gpu.run({"ids": np.array([0, 5])})  # which says so from a process of its own


@needs_compiler
def test_float16_at_the_ends_of_a_model_is_emulated(tmp_path: Path) -> None:
    half = convert_float_to_float16(mlp())
    made = compile_model(saved(tmp_path / "half.onnx", half), tmp_path / "out", target="cuda-sm_80")
    assert made.precision == "float32 (float16 file)"
    assert [spec.dtype for spec in (*made.inputs, *made.outputs)] == ["float16", "float16"]
    assert made.parity is not None
    assert made.parity.ran_on.startswith("emulated")
