"""Kernels that read a tensor from its end (flips, slices with negative steps) are fused with nothing.

A reshape that such a kernel reads would be computed at `97 - x`: `(97 - x) // 49 * 49 + (97 - x) % 49`. TVM
simplifies that as it flattens indices (`tvm.sym.iter_map_simplify`), and gets `49 - x`: code that reads
before the tensor's begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import tirx
from tvm.ir.expr import TensorLoad
from tvm.sym import detect_linear_equation
from tvm_ffi import structural_walk

if TYPE_CHECKING:
    import tvm

_PATTERN = "op_pattern"
_INJECTIVE, _OPAQUE = 2, 8  # TVM's numbers for what moves elements, and for what is fused with nothing


def keep_backward_apart(mod: tvm.IRModule) -> tvm.IRModule:
    """Mark the kernels that move elements and read backwards, behind AnnotateTIROpPattern."""
    marked = {
        name: func.with_attr(_PATTERN, _OPAQUE)
        for name, func in mod.functions_items()
        if isinstance(func, tirx.PrimFunc)
        and int((func.attrs or {}).get(_PATTERN, _OPAQUE)) <= _INJECTIVE
        and _reads_backward(func)
    }
    for name, func in marked.items():
        mod[name] = func
    return mod


def _reads_backward(func: tirx.PrimFunc) -> bool:
    found: list[bool] = []

    def visit(load: TensorLoad) -> None:
        found.extend(_is_backward(index) for index in load.indices)

    structural_walk(func.body, [(TensorLoad, visit)])
    return any(found)


def _is_backward(index: tirx.Expr) -> bool:
    """Whether an index falls while a variable of it grows."""
    variables: list[tirx.Var] = []
    structural_walk(index, [(tirx.Var, variables.append)])
    factors = detect_linear_equation(index, variables) if variables else []
    return any(isinstance(factor, tirx.IntImm) and int(factor) < 0 for factor in factors[:-1])
