"""The size of kernels grows as the model does: what an expression reads several times is computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tvm
import tvm_ffi
from onnx import helper
from tvm import relax, te, tirx

from modeldyno.base.errors import CompileError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.codegen import kernel_size
from modeldyno.compiler.codegen.cuda_compilers import why_no_cuda
from modeldyno.compiler.codegen.kernel_size import fused_operators, kernel_steps
from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.rules.apply import schedule_all
from modeldyno.compiler.stages.base import Context
from modeldyno.compiler.stages.run import recipe_of, run_stages
from modeldyno.compiler.subexpressions.values import name_values
from modeldyno.compiler.targets.catalog import TARGETS, host_target
from tests.compiler.models import model, tensor, weights
from tests.compiler.relaxed import AVX512, module, run_staged, source_of, staged_until

Array = np.ndarray[Any, Any]
UNARY = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf"),
    *("Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal"),
    *(
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Tan",
        "Tanh",
    ),
    "ThresholdedRelu",
)
FRONTS = {"alone": ((4, 24), ()), "Conv": ((1, 8, 12, 12), (16, 8, 3, 3)), "MatMul": ((6, 32), (32, 48))}


def chain(
    functions: tuple[str, ...], links: int, front: str = "alone", *, times: bool = False
) -> onnx.ModelProto:
    """So many of the functions in a row, behind an operator; with `times`, each times what it reads."""
    shape, weight = FRONTS[front]
    nodes = [] if front == "alone" else [helper.make_node(front, ["x", "w"], ["t0"])]
    last = "x" if front == "alone" else "t0"
    for link in range(links):
        out = f"t{link + 1}"
        nodes.append(
            helper.make_node(functions[link % len(functions)], [last], [f"f{link}" if times else out])
        )
        if times:
            nodes.append(helper.make_node("Mul", [last, f"f{link}"], [out]))
        last = out
    rank = [None] * len(shape)
    given = [weights("w", *weight)] if weight else []
    return model(nodes, [tensor("x", shape)], [tensor(last, rank)], given, opset=22)


def scheduled(proto: onnx.ModelProto, folder: Path, target: str = "") -> Any:
    """The module before code is generated."""
    onnx.save(proto, folder / "m.onnx")
    source = read_model(folder / "m.onnx", {})
    chosen = TARGETS[target] if target else host_target(host_facts())
    return recipe_of(chosen).until("schedule").apply(None, Context(source, chosen))


def nodes_of(mod: Any) -> int:
    """Nodes of all tensor programs, each as often as it stands there."""
    count = [0]

    def note(_node: Any) -> None:
        count[0] += 1

    for _, func in mod.functions_items():
        if isinstance(func, tirx.PrimFunc):
            tvm_ffi.structural_walk(func.body, (tvm_ffi.Object, note))
    return count[0]


def growth(folder: Path, *args: Any, links: int = 4, target: str = "", **more: Any) -> float:
    single, double = (
        nodes_of(scheduled(chain(*args, **more), folder, target))
        for args in ((args[0], links, *args[1:]), (args[0], 2 * links, *args[1:]))
    )
    return double / single


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("functions", [("Tanh",), ("Softplus", "Tanh")])
def test_twice_the_functions_are_twice_the_nodes(
    tmp_path: Path, front: str, times: bool, functions: tuple[str, ...]
) -> None:
    assert growth(tmp_path, functions, front, times=times) <= 2.2


@pytest.mark.slow
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("function", UNARY)
def test_no_function_grows_faster_than_its_chain(tmp_path: Path, front: str, function: str) -> None:
    assert growth(tmp_path, (function,), front) <= 2.2
    assert growth(tmp_path, (function,), front, times=True) <= 2.2


@pytest.mark.skipif(bool(why_no_cuda()), reason="no CUDA compiler is installed")
@pytest.mark.parametrize("front", FRONTS)
def test_nor_on_a_gpu(tmp_path: Path, front: str) -> None:
    assert growth(tmp_path, ("Mish",), front, target="cuda-sm_80", times=True) <= 2.2


def test_functions_in_double_precision_do_not_grow_where_their_calls_are_written_out(tmp_path: Path) -> None:
    """TVM writes tanh of float64 as a formula of its argument: the copies would come after all scheduling."""
    sizes = []
    for links in (3, 6):
        mod = module([(4, 16)], lambda b, x, n=links: repeated(b, x, relax.op.tanh, n), "float64")
        source, target = source_of(mod), host_target(host_facts())
        seen: list[int] = []

        @tvm.ir.instrument.pass_instrument
        class Watch:
            def run_after_pass(self, after: Any, info: Any, seen: list[int] = seen) -> None:
                if info.name == "tirx.LowerIntrin":
                    seen.append(nodes_of(after))

        with tvm.transform.PassContext(instruments=[Watch()]):
            run_stages(source, target)
        sizes.append(max(seen))
    assert sizes[1] <= 2.2 * sizes[0]


def repeated(builder: Any, value: Any, function: Callable[[Any], Any], times: int) -> Any:
    for _ in range(times):
        value = builder.emit(function(value))
    return value


def test_long_chains_are_cut_into_kernels() -> None:
    mod = module([(2, 8)], lambda b, x: repeated(b, x, relax.op.sin, 70))
    kernels = [func for _, func in staged_until(mod, AVX512, "fuse").functions_items()]
    assert len(kernels) > 2
    x = np.linspace(-2, 2, 16, dtype=np.float32).reshape(2, 8)
    expected = x.astype(np.float64)
    for _ in range(70):
        expected = np.sin(expected)
    np.testing.assert_allclose(run_staged(mod, AVX512, x)[0], expected, atol=1e-5)


def test_truth_values_and_whole_numbers_are_shared_too() -> None:
    def body(builder: Any, x: Any) -> Any:
        for _ in range(4):
            large = builder.emit(relax.op.greater(x, relax.const(np.float32(0.25))))
            bounded = builder.emit(relax.op.tanh(x))
            part = builder.emit(relax.op.where(large, bounded, builder.emit(relax.op.multiply(x, bounded))))
            x = builder.emit(relax.op.where(builder.emit(relax.op.logical_not(large)), part, x))
        return x

    x = np.linspace(-3, 3, 96, dtype=np.float32).reshape(4, 24)
    expected = x.astype(np.float64)
    for _ in range(4):
        large = expected > 0.25
        part = np.where(large, np.tanh(expected), expected * np.tanh(expected))
        expected = np.where(~large, part, expected)
    np.testing.assert_allclose(run_staged(module([(4, 24)], body), AVX512, x)[0], expected, atol=1e-5)


def test_what_only_a_branch_computes_gets_no_name_where_it_might_fail() -> None:
    a, b = tirx.Var("a", "int32"), tirx.Var("b", "int32")
    quotient = tirx.truncdiv(a, b)
    guarded = name_values(tirx.Select(b != 0, quotient * quotient, a))
    assert "Let" not in str(guarded)
    assert str(name_values(quotient * quotient)).count("Div(") == 1


def test_a_read_outside_of_its_tensor_stays_in_its_branch() -> None:
    x = te.placeholder((8,), "float32", "x")
    place = te.var("i", "int32")
    value = tirx.if_then_else(place > 0, x[place - 1] * x[place - 1], tirx.const(0, "float32"))
    assert "Let" not in str(name_values(value))


def test_a_stage_that_a_window_reads_is_computed_once() -> None:
    """Every element of a resized image reads four of the image: a chain of them would be 4 to its length."""

    def body(builder: Any, x: Any) -> Any:
        for _ in range(5):
            x = builder.emit(relax.op.image.resize2d(x, (9, 9), layout="NHWC", method="linear"))
            x = builder.emit(relax.op.tanh(x))
        return x

    mod = staged_until(module([(1, 9, 9, 4)], body), AVX512, "schedule")
    assert nodes_of(mod) < 20_000


def test_a_kernel_that_is_too_large_is_refused_by_its_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_size, "MOST_STEPS", 10)
    mod = module([(4, 16)], lambda b, x: repeated(b, x, relax.op.tanh, 3))
    with pytest.raises(CompileError, match=r"stage 'schedule' made a kernel of .* operators tanh ") as caught:
        run_stages(source_of(mod), host_target(host_facts()))
    assert (caught.value.stage, caught.value.operators) == ("schedule", ("tanh",))


def test_a_kernels_name_is_taken_apart_into_operators() -> None:
    name = "fused_conv2d3_tir_negative_max_pool2d_add12_layer_norm"
    assert fused_operators(name) == ("conv2d", "negative", "max_pool2d", "add", "layer_norm")


def test_steps_are_counted_as_often_as_they_stand_there() -> None:
    x = te.placeholder((8,), "float32", "x")
    func = te.create_prim_func([x, te.compute((8,), lambda i: tirx.exp(x[i]) * x[i])])
    assert kernel_steps(func) == 4  # two reads, one call, one write
    assert schedule_all(tvm.IRModule({"main": func}), AVX512) is not None


def test_a_mask_that_the_model_takes_is_shared() -> None:
    """TVM stores truth values as bytes, and reads them back as such from a buffer of a kernel's own."""

    def body(builder: Any, mask: Any, other: Any) -> Any:
        both = builder.emit(relax.op.logical_and(mask, other))
        either = builder.emit(relax.op.logical_or(mask, builder.emit(relax.op.logical_not(other))))
        same = builder.emit(relax.op.logical_and(both, builder.emit(relax.op.logical_xor(mask, either))))
        return builder.emit(relax.op.logical_or(same, builder.emit(relax.op.logical_and(mask, either))))

    mask, other = (np.random.default_rng(seed).random((4, 32)) > 0.5 for seed in (0, 1))
    both, either = mask & other, mask | ~other
    got = run_staged(module([(4, 32)] * 2, body, "bool"), AVX512, mask, other)[0]
    np.testing.assert_array_equal(got, (both & (mask ^ either)) | (mask & either))
