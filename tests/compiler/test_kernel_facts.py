"""What the manifest says of each kernel, and the function that the profile takes the peak from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tvm
from tvm import relax, te

from modeldyno.compiler import Options, compile_model
from modeldyno.compiler.kernels.facts import kernel_facts
from modeldyno.compiler.loops.marks import FLOPS
from modeldyno.compiler.memory.peak import peak_function, peak_kernel, with_peak
from modeldyno.compiler.targets.catalog import TARGETS
from modeldyno.compiler.targets.machine import Machine
from modeldyno.runtime.records.kernels import KernelFacts
from modeldyno.runtime.records.weights import ArgumentSpec
from tests.compiler.models import conv_net, model, node, saved, tensor, weights

if TYPE_CHECKING:
    import onnx


def facts_of(made: onnx.ModelProto, folder: Path, target: str = "x86-64-v4") -> dict[str, KernelFacts]:
    path = saved(folder / "net.onnx", made)
    manifest = compile_model(path, folder / "out", target=target, options=Options(verify=False))
    return {kernel.kind: kernel for kernel in manifest.kernels}


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64-v4", "neoverse-n1"])
def test_operations_are_those_of_the_model_whatever_the_tile(tmp_path: Path, target: str) -> None:
    facts = facts_of(conv_net(), tmp_path, target)
    # 12 x 12 pixels, 3 to 16 channels; then 16 to 5, which every target computes in wider tiles.
    assert facts["conv2d"].flops == 2 * 12 * 12 * 16 * 3 * 9
    assert facts["dense"].flops == 2 * 16 * 5
    by_name = {kernel.name: kernel for kernel in facts.values()}
    assert by_name["max_pool2d"].flops == 6 * 6 * 16 * 4
    assert facts["transpose"].flops == 0


def test_rows_and_channels_that_a_crop_throws_away_are_not_counted(tmp_path: Path) -> None:
    made = model(
        [node("Conv", "x w", "y", pads=[1, 1, 1, 1], kernel_shape=[3, 3])],
        [tensor("x", [1, 8, 13, 37])],
        [tensor("y", [1, 39, 13, 37])],
        [weights("w", 39, 8, 3, 3)],
    )
    conv = facts_of(made, tmp_path)["conv2d"]
    assert conv.inputs[1].shape == (1, 3, 3, 8, 48), "no padded channels: this model tests nothing"
    assert conv.flops == 2 * 13 * 37 * 39 * 8 * 9


def test_bytes_are_those_of_all_arguments(tmp_path: Path) -> None:
    conv = facts_of(conv_net(), tmp_path)["conv2d"]
    assert [spec.shape for spec in conv.inputs] == [(1, 12, 12, 3), (1, 3, 3, 3, 16), (1, 1, 1, 16)]
    assert [spec.shape for spec in conv.outputs] == [(1, 12, 12, 16)]
    assert conv.bytes == 4 * (12 * 12 * 3 + 3 * 3 * 3 * 16 + 16 + 12 * 12 * 16)


@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 4), ("int64", 8), ("bfloat16", 2), ("float8_e4m3fn", 1), ("bool", 1)]
)
def test_the_size_of_a_dtype(dtype: str, size: int) -> None:
    assert ArgumentSpec(dtype=dtype, shape=(3, 2)).bytes == 6 * size


def test_a_kernel_that_says_its_operations_is_believed() -> None:
    (found,) = kernel_facts(called_twice({FLOPS: 1234}))
    assert (found.flops, found.kind) == (1234, "doubled")


def test_calls_are_counted() -> None:
    (found,) = kernel_facts(called_twice({}))
    assert (found.calls, found.flops, found.bytes) == (2, 8, 64)


def called_twice(annotations: dict[str, int]) -> tvm.IRModule:
    """x + x by a tensor program, and that again by the same one, over 8 numbers."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([8], "float32"))

    def double(data: te.Tensor) -> te.Tensor:
        return te.compute((8,), lambda i: data[i] + data[i], name="doubled", attrs=annotations)

    with builder.function("main", [x]):
        with builder.dataflow():
            once = builder.emit_te(double, x)
            out = builder.emit_output(builder.emit_te(double, once))
        builder.emit_func_output(out)
    return builder.get()


@pytest.mark.parametrize("name", ["x86-64-v3", "x86-64-v4", "neoverse-n1"])
def test_the_peak_loop_is_multiply_adds_between_registers(name: str) -> None:
    target = TARGETS[name]
    kernel = peak_kernel(target.machine)
    assert kernel.flops == 2 * kernel.chains * kernel.lanes * kernel.steps
    built = tvm.tirx.build(peak_function(kernel), target=target.tvm_target())
    assembly = built.inspect_source("asm")
    word = "fmla" if target.architecture == "aarch64" else "vfmadd"
    lines = [line.strip() for line in assembly.splitlines()]
    places = [number for number, line in enumerate(lines) if line.startswith(word)]
    sums = {re.split(r"[ ,\t]+", lines[place])[1 if word == "fmla" else -1] for place in places}
    assert len(sums) == kernel.chains
    # LLVM may take several steps in one trip of the loop.
    assert len(places) % kernel.chains == 0
    loop = lines[places[0] : places[-1] + 1]
    assert not [line for line in loop if "(" in line or "[" in line], "the loop touches memory"
    assert len(loop) <= len(places) + 8, "something stands between the multiply-adds"


def test_a_module_without_programs_gets_the_peak_too() -> None:
    # A model that only hands its inputs on has no kernel: this function is what there is to link.
    module, kernel = with_peak(tvm.IRModule(), Machine(16, 32))
    assert [name.name_hint for name in module.get_global_vars()] == [kernel.function]
