"""A bound on the size of kernels, asked before LLVM starts: inside the process nothing can stop it."""

from __future__ import annotations

import re
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import Call
from tvm.ir.expr import TensorLoad
from tvm_ffi import structural_walk

from modeldyno.base.errors import CompileError
from modeldyno.compiler.targets.catalog import CompileTarget

# The largest kernel of benchmarks/zoo has 1,136 (EfficientNet-B0, a depthwise convolution and SiLU); a chain
# as long as fusion makes them stays below 30,000 behind the tile that is written out the most.
MOST_STEPS = 100_000


def kernel_steps(func: Any) -> int:
    """Count the reads, writes and calls of a tensor program, each as often as it stands there.

    They are what LLVM's time and memory go by; of index arithmetic, most falls away.
    """
    steps = [0]

    def note(_node: Any) -> None:
        steps[0] += 1

    structural_walk(func.body, ((TensorLoad, tirx.BufferStore, Call), note))
    return steps[0]


def refuse_large(module: Any, model: str, target: CompileTarget) -> None:
    """Refuse a module with a kernel that LLVM may not come to an end with; `model` names what it was made of.

    Raises:
        CompileError: a kernel has more than MOST_STEPS steps; names it, its operators and the stage.
    """
    for name, func in module.functions_items():
        if not isinstance(func, tirx.PrimFunc) or (steps := kernel_steps(func)) <= MOST_STEPS:
            continue
        operators = fused_operators(name.name_hint)
        raise CompileError(
            f"{model}: stage 'schedule' made a kernel of {steps:,} reads, writes and calls of the "
            f"operators {', '.join(operators)} (kernel {name.name_hint}); code is generated for at most "
            f"{MOST_STEPS:,}",
            hint="`fallback=onnxruntime` leaves these operators to ONNX Runtime",
            stage="schedule",
            target=target.name,
            operators=operators,
        )


def fused_operators(kernel: str) -> tuple[str, ...]:
    """Give the names of the operators that a kernel was made of, each once: its name is made of theirs."""
    known = {name.rsplit(".", 1)[1] for name in tvm.ir.Op.list_op_names() if name.startswith("relax.")}
    words = re.sub(r"(?<=[a-z])\d+(?=_|$)", "", kernel.removeprefix("fused_")).split("_")
    found: list[str] = []
    while words:
        sizes = range(len(words), 0, -1)
        size = next((size for size in sizes if "_".join(words[:size]) in known), 1)
        found.append("_".join(words[:size]))
        words = words[size:]
    return tuple(dict.fromkeys(name for name in found if name != "tir"))
