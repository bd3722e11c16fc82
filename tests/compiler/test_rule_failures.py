"""A schedule rule that should apply and fails: an error while developing, told and recorded for a user."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tvm import relax, tirx
from tvm.s_tir import ScheduleError

from modeldyno.base.errors import CompileError
from modeldyno.compiler import Options, compile_model
from modeldyno.compiler.cli import compile_command
from modeldyno.compiler.loops.common import can_inline, is_schedulable, new_schedule, root_blocks
from modeldyno.compiler.rules import apply
from modeldyno.compiler.rules.generic import blocks_apply
from modeldyno.runtime.records.kernels import RuleFailure
from modeldyno.runtime.records.manifest_file import read_manifest
from tests.compiler.models import conv_net, saved
from tests.compiler.relaxed import AVX512, module, run_staged, staged_until


def broken(func: Any, _machine: Any) -> Any:
    """Ask a schedule for what is not there, as a rule with a mistake would."""
    return new_schedule(func).get_sblock("no such block")


@pytest.fixture
def first_rule_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = apply.RULES
    monkeypatch.setattr(apply, "RULES", (replace(first, schedule=broken), *rest))


def programs(body: Any, *shapes: tuple[int, ...]) -> list[Any]:
    mod = staged_until(module(shapes, body), AVX512, "fuse")
    return [func for _, func in mod.functions_items() if isinstance(func, tirx.PrimFunc)]


@pytest.mark.usefixtures("first_rule_broken")
def test_a_broken_rule_fails_whatever_is_scheduled_by_it() -> None:
    def body(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.matmul(x, relax.const(np.ones((24, 40), np.float32))))

    with pytest.raises(ScheduleError, match="no such block"):
        staged_until(module([(8, 24)], body), AVX512, "schedule")
    with pytest.raises(CompileError, match=r"'schedule' failed .*with the name: no such block"):
        run_staged(module([(8, 24)], body), AVX512, np.ones((8, 24), np.float32))


@pytest.mark.usefixtures("first_rule_broken")
def test_a_users_compile_goes_on_with_the_next_rule_and_says_so(tmp_path: Path) -> None:
    told: list[str] = []
    net = saved(tmp_path / "net.onnx", conv_net())
    manifest = compile_model(net, tmp_path / "out", on_tuning=told.append)
    assert manifest.parity is not None
    assert manifest.parity.outputs[0].max_rel < 1e-5
    assert read_manifest(tmp_path / "out").rule_failures == manifest.rule_failures
    kernels = {kernel.name for kernel in manifest.kernels}
    assert len(manifest.rule_failures) == 2  # the convolution and the matrix product
    for failure, line in zip(manifest.rule_failures, told, strict=True):
        assert failure.kernel in kernels
        assert (failure.rule, "no such block" in failure.message) == ("broken", True)
        assert line.startswith(f"kernel {failure.kernel} is slower than it need be: schedule rule broken")


@pytest.mark.usefixtures("first_rule_broken")
def test_nobody_to_tell_makes_it_a_warning_which_these_tests_take_for_an_error(tmp_path: Path) -> None:
    net = saved(tmp_path / "net.onnx", conv_net())
    with pytest.raises(CompileError, match=r"stage 'schedule' failed .*is slower than it need be"):
        compile_model(net, tmp_path / "out", options=Options(verify=False))


@pytest.mark.usefixtures("first_rule_broken")
@pytest.mark.parametrize("flags", [["--json"], []])
def test_the_command_tells_it_as_text_and_as_json(tmp_path: Path, flags: list[str]) -> None:
    net = saved(tmp_path / "net.onnx", conv_net())
    result = CliRunner().invoke(
        compile_command, [str(net), "-o", str(tmp_path / "out"), "--here", str(tmp_path / "at"), *flags]
    )
    assert result.exit_code == 0, result.output
    assert "schedule rule broken failed" in result.stderr
    if flags:
        found = [RuleFailure(**each) for each in json.loads(result.stdout)["rule_failures"]]
        assert [each.rule for each in found] == ["broken", "broken"]
    else:
        assert "slow kernel: " in result.stdout


def test_a_predicate_that_fails_is_the_rules_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsure(_func: Any, _machine: Any) -> bool:
        raise ValueError("neither yes nor no")

    monkeypatch.setattr(apply, "RULES", (apply.Rule(unsure, broken), *apply.RULES))
    mod = staged_until(module([(4, 16)], lambda b, x: b.emit(relax.op.nn.relu(x))), AVX512, "fuse")
    seen: list[tuple[str, str, str]] = []
    with pytest.raises(ValueError, match="neither"):
        apply.schedule_all(mod, AVX512)
    apply.schedule_all(mod, AVX512, lambda *each: seen.append((each[0], each[1], str(each[2]))))
    assert [each[1:] for each in seen] == [("broken", "neither yes nor no")]


def test_no_rule_applies_to_empty_tensors_which_are_right_anyway() -> None:
    def body(builder: Any, x: Any) -> Any:
        part = builder.emit(relax.op.strided_slice(x, [1], [0], [0]))
        return builder.emit(relax.op.nn.relu(part))

    assert not any(blocks_apply(func, AVX512) for func in programs(body, (3, 8)))
    assert run_staged(module([(3, 8)], body), AVX512, np.ones((3, 8), np.float32))[0].shape == (3, 0)


def test_a_program_that_is_one_block_of_its_own_loops_is_left_alone() -> None:
    def body(builder: Any, x: Any) -> Any:
        place, ones = relax.const(np.array([[0, 1, 2]])), relax.const(np.ones((1, 3), np.float32))
        return builder.emit(relax.op.scatter_elements(x, place, ones))

    (func,) = programs(body, (3, 3))
    assert not is_schedulable(func)
    found = run_staged(module([(3, 3)], body), AVX512, np.zeros((3, 3), np.float32))[0]
    np.testing.assert_array_equal(found, np.eye(3))


def test_results_of_a_function_are_not_inlined_and_what_lies_between_is() -> None:
    def body(builder: Any, x: Any) -> Any:
        first = builder.emit(relax.op.exp(x))
        return builder.emit(relax.op.nn.relu(builder.emit(relax.op.negative(first))))

    (func,) = programs(body, (4, 16))
    sch = new_schedule(func)
    blocks = root_blocks(sch)
    assert [can_inline(sch, block) for block in blocks] == [True] * (len(blocks) - 1) + [False]
