"""A candidate as machine code: one operator with what is fused behind it, through the model's own stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from modeldyno.compiler.codegen.link import link
from modeldyno.compiler.kernels.choice import Choice, Workload
from modeldyno.compiler.lower.epilogues import data_operands, emit_tail
from modeldyno.compiler.rules.apply import schedule_all
from modeldyno.compiler.stages.base import Context
from modeldyno.compiler.stages.cpu import CPU
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.compiler.tuning.measure import CandidateFailed

Arguments = tuple[tuple[str, tuple[int, ...]], ...]


def operator_module(workload: Workload) -> Any:
    """Give a Relax module of the operator with the workload's tail behind it; its weights are all zero.

    What the weights are matters to no stage; the measuring process puts random ones in their place. Tensors
    that the tail reads besides (a residual) are parameters.
    """
    builder = relax.BlockBuilder()
    shapes = [_data_shape(workload), *data_operands(workload.tail, _out_shape(workload))]
    params = [relax.Var(f"data{n}", relax.TensorType(shape, "float32")) for n, shape in enumerate(shapes)]
    with builder.function("main", params):
        with builder.dataflow():
            product = builder.emit(_product(workload, params[0]))
            out = builder.emit_output(emit_tail(builder, product, workload.tail, iter(params[1:])))
        builder.emit_func_output(out)
    return builder.get()


def lowered(workload: Workload, choice: Choice, target: CompileTarget) -> tuple[Any, Arguments]:
    """Run the stages from `legalize` to `schedule`; give the kernel and its arguments.

    Raises:
        CandidateFailed: the operator did not become one kernel.
    """
    seen: list[Workload] = []

    def chooser(found: Workload, _machine: Any) -> Choice:
        seen.append(found)
        return choice

    module = operator_module(workload)
    with target.tvm_target():
        module = CPU.between("legalize", "fuse").apply(module, Context(None, target, chooser))
        module = schedule_all(module, target.machine)
    if seen != [workload]:
        raise CandidateFailed(f"the operator was taken for {seen}")
    return _kernel(module)


def build(kernels: dict[str, Any], library: Path, target: CompileTarget) -> None:
    """Write kernels as a shared library, each under its name.

    Raises:
        CompileError: the linker is missing, or failed.
    """
    named = {name: kernel.with_attr("global_symbol", name) for name, kernel in kernels.items()}
    executable = CPU.between("generate", "generate").apply(tvm.IRModule(named), Context(None, target))
    with target.tvm_target():
        link(executable, library, target)


def _kernel(module: Any) -> tuple[Any, Arguments]:
    calls = [
        binding.value
        for block in module["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, relax.Call)
    ]
    if len(calls) != 1 or calls[0].op.name != "relax.call_tir":
        raise CandidateFailed(f"the operator became {len(calls)} kernels")
    (call,) = calls
    kernel = module[call.args[0]]
    given = list(call.args[1].fields)
    typed = [
        *(("data" if isinstance(value, relax.Var) else "weight", value.ty) for value in given),
        ("output", call.ty),
    ]
    if any(str(ty.dtype) != "float32" for _, ty in typed):
        raise CandidateFailed("the kernel has an argument that is not float32")
    return kernel, tuple((kind, tuple(int(size) for size in ty.shape)) for kind, ty in typed)


def _data_shape(workload: Workload) -> tuple[int, ...]:
    if workload.kind != "dense":
        return (workload.batch, *workload.image, workload.depth * workload.groups)
    rows = (workload.out[1], workload.depth)
    return rows if workload.batch == 1 else (workload.batch, *rows)


def _out_shape(workload: Workload) -> tuple[int, ...]:
    if workload.kind != "dense":
        return (workload.batch, *workload.out, workload.channels)
    return (*_data_shape(workload)[:-1], workload.channels)


def _product(workload: Workload, data: Any) -> Any:
    if workload.kind == "dense":
        return relax.op.matmul(data, _zeros((workload.depth, workload.channels)))
    return relax.op.nn.conv2d(
        data,
        _zeros((workload.channels, *workload.kernel, workload.depth)),
        strides=list(workload.strides),
        padding=list(workload.padding),
        dilation=list(workload.dilation),
        groups=workload.groups,
        data_layout="NHWC",
        kernel_layout="OHWI",
    )


def _zeros(shape: tuple[int, ...]) -> Any:
    return relax.const(np.zeros(shape, np.float32))
