"""The check of planned memory: right plans pass, wrong ones do not."""

from __future__ import annotations

from typing import Any

import pytest
from tvm import relax

from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.memory.planning import SETUP
from modeldyno.compiler.stages.base import Context
from modeldyno.compiler.stages.run import recipe_of
from modeldyno.compiler.targets.catalog import TARGETS
from tests.compiler.models import conv_net, saved
from tests.replay.buffers import check_buffers


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    target = TARGETS["x86-64-v3"]
    source = read_model(saved(tmp_path_factory.mktemp("net") / "net.onnx", conv_net()), {})
    return recipe_of(target).until("plan_memory").apply(None, Context(source, target))


def with_bindings(module: Any, name: str, bindings: list[Any]) -> Any:
    changed, old = module.clone(), module[name]
    body = relax.SeqExpr([relax.BindingBlock(bindings)], old.body.body)
    changed[name] = relax.Function(old.params, body, old.ret_ty, is_pure=False, attrs=old.attrs)
    return changed


def bindings_of(module: Any, name: str) -> list[Any]:
    return [binding for block in module[name].body.blocks for binding in block.bindings]


def kernel_calls(bindings: list[Any]) -> list[int]:
    return [
        place
        for place, binding in enumerate(bindings)
        if isinstance(getattr(binding.value, "op", None), relax.GlobalVar)
    ]


def test_planned_memory_is_written_before_it_is_read(planned: Any) -> None:
    check_buffers(planned)


def test_a_kernel_that_is_called_too_late_is_found(planned: Any) -> None:
    bindings = bindings_of(planned, "main")
    first, second = kernel_calls(bindings)[:2]
    bindings[first], bindings[second] = bindings[second], bindings[first]
    with pytest.raises(ValueError, match=r"reads \w+, which nothing wrote"):
        check_buffers(with_bindings(planned, "main", bindings))


def test_two_tensors_in_one_storage_at_one_time_are_found(planned: Any) -> None:
    """Every tensor in the first storage: a kernel then writes over what it reads."""
    bindings = bindings_of(planned, SETUP)
    storage = bindings[0].var
    for place, binding in enumerate(bindings):
        if getattr(getattr(binding.value, "op", None), "name", "") == "relax.vm.alloc_tensor":
            call = relax.Call(binding.value.op, [storage, *binding.value.args[1:]], None, [])
            bindings[place] = relax.VarBinding(binding.var, call)
    with pytest.raises(ValueError, match=r"reads \w+, whose place \w+ took"):
        check_buffers(with_bindings(planned, SETUP, bindings))
