"""Where the outputs are wrong, the error names the first kernel that is; or says that it is none of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax, tirx
from tvm_ffi import structural_map

from benchmarks.zoo.registry import onnx_file
from modeldyno.base.errors import ParityError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler import compile_model
from modeldyno.compiler.check.kernel_check import KernelCheck, UncheckedError, blame, check_kernels
from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.rules import apply
from modeldyno.compiler.rules.tile import register_tile
from modeldyno.compiler.stages import cpu
from modeldyno.compiler.targets.catalog import host_target
from modeldyno.compiler.targets.machine import Machine
from tests.compiler.models import conv_net, mlp, saved
from tests.compiler.relaxed import module, scaled_constants, source_of, with_stage

HOST = host_target(host_facts())


def wrong_dense(func: Any, machine: Machine) -> Any:
    """Schedule as the rule does, and forget a quarter of each sum where the kernel is a matrix product."""
    done = register_tile(func, machine)
    if "dense" not in func.script():
        return done

    def halved(node: Any) -> Any:
        is_sum = isinstance(node.value, tirx.Add) and isinstance(node.value.b, tirx.Mul)
        if not is_sum:
            return node
        value = node.value.a + node.value.b * tirx.const(0.75, "float32")
        return tirx.BufferStore(node.buffer, value, node.indices)

    return done.with_body(structural_map(done.body, [(tirx.BufferStore, halved)]))


@pytest.fixture
def dense_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = apply.RULES
    monkeypatch.setattr(apply, "RULES", (replace(first, schedule=wrong_dense), *rest))


@pytest.mark.usefixtures("dense_wrong")
def test_the_error_names_the_first_wrong_kernel(tmp_path: Path) -> None:
    net = saved(tmp_path / "net.onnx", conv_net())
    with pytest.raises(
        ParityError, match=r"differs from onnxruntime .* The first wrong kernel is \w*dense\w*"
    ):
        compile_model(net, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("dense_wrong")
def test_an_error_does_not_go_on_to_the_kernels_behind(tmp_path: Path) -> None:
    source = read_model(saved(tmp_path / "net.onnx", mlp()), {})
    checks = list(check_kernels(source, HOST, seed=0))
    wrong = [check for check in checks if check.wrong]
    assert wrong
    assert all("dense" in check.kernel for check in wrong)
    assert all(check.max_rel < 1e-6 for check in checks if check not in wrong)


def test_what_a_graph_pass_did_is_said_to_lie_before_the_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "CPU", with_stage(5, "spoil", lambda mod: scaled_constants(mod, 1.01)))
    net = saved(tmp_path / "net.onnx", conv_net())
    with pytest.raises(ParityError, match=r"Each of the \d+ kernel calls agrees .* in a graph pass"):
        compile_model(net, tmp_path / "out")


def test_kernels_with_two_results_views_and_constants_are_followed() -> None:
    def body(builder: Any, x: Any) -> Any:
        parts = builder.emit(relax.op.split(x, 2, 1))
        left = builder.emit(relax.TupleGetItem(parts, 0))
        right = builder.emit(relax.op.reshape(builder.emit(relax.TupleGetItem(parts, 1)), (4, 4)))
        product = builder.emit(relax.op.matmul(right, relax.const(np.ones((4, 4), np.float32))))
        powers = builder.emit(relax.op.nn.softmax(left))
        return builder.emit(relax.op.add(builder.emit(relax.op.multiply(powers, product)), left))

    source = replace(
        source_of(module([(4, 8)], body)),
        feeds=lambda seed: {"x0": np.random.default_rng(seed).standard_normal((4, 8)).astype(np.float32)},
        inputs=(_input("x0"),),
    )
    checks = list(check_kernels(source, HOST, seed=0))
    assert [check.call for check in checks] == list(range(len(checks)))
    assert len(checks) >= 2
    assert not any(check.wrong for check in checks)


def _input(name: str) -> Any:
    from modeldyno.base.records.record import TensorSpec

    return TensorSpec(name=name, dtype="float32", shape=(4, 8))


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    shape = relax.ShapeExpr([tirx.Var("n", "int64"), 8])
    builder = relax.BlockBuilder()
    x = relax.Var("x0", relax.TensorType(shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            out = builder.emit_output(relax.op.unique(x, True, False, False, False))
        builder.emit_func_output(out)
    source = replace(
        source_of(builder.finalize()),
        feeds=lambda _seed: {"x0": np.ones((4, 8), np.float32)},
        inputs=(_input("x0"),),
    )
    assert blame(source, HOST, seed=0).startswith("The kernels could not be checked one by one: ")
    with pytest.raises(UncheckedError, match="no kernel of fixed shape"):
        list(check_kernels(source, HOST, seed=0))


def test_a_difference_that_is_no_number_is_wrong() -> None:
    assert KernelCheck("k", 0, float("nan")).wrong
    assert KernelCheck("k", 0, 2e-4).wrong
    assert not KernelCheck("k", 0, 2e-6).wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "squeezenet", "shufflenet", "minilm_l6"])
def test_every_kernel_of_the_zoo_agrees_with_its_unscheduled_program(tmp_path: Path, name: str) -> None:
    source = read_model(onnx_file(name, tmp_path / "zoo"), {})
    assert not [check for check in check_kernels(source, HOST, seed=0) if check.wrong]
