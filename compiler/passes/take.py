"""Rows taken by indices that a request brings: an index out of bounds gives NaN, and reads nothing.

TVM's own kernel reads wherever the index says: one id beyond the vocabulary ended the whole server.
"""

from __future__ import annotations

from typing import Any

from tvm import topi

from compiler.passes.fold import constant


def safe_take(builder: Any, call: Any) -> Any:
    """Give the kernel of `relax.take` with its bounds kept; for numbers that know no NaN the nearest row."""
    mode = str(call.attrs.mode)
    if mode == "fast" and constant(call.args[1]) is None:
        mode = "nan" if "float" in str(call.ty.dtype) else "clip"
    return builder.call_te(topi.take, *call.args, call.attrs.axis, mode=mode, primfunc_name_hint="take")
