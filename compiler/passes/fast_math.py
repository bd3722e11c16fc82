"""Functions that LLVM would call one number at a time, as polynomials that run in vectors.

exp, tanh and erf are TVM's own approximations (after Cephes and Eigen): their error on float32 is stated by
the tests beside this module, and the parity check bounds what it does to a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvm import te, tirx, topi


def sigmoid(data: Any) -> Any:
    """1 / (1 + exp(-x)), element-wise."""
    decayed = topi.fast_exp(topi.negative(data))
    one = tirx.const(1, data.dtype)
    return te.compute(data.shape, lambda *axes: one / (one + decayed[axes]), name="sigmoid")


def silu(data: Any) -> Any:
    """x * sigmoid(x), element-wise."""
    return topi.multiply(data, sigmoid(data))


def gelu(data: Any) -> Any:
    """x / 2 * (1 + erf(x / √2)), element-wise: GELU's exact form."""
    scaled = topi.multiply(data, tirx.const(math.sqrt(0.5), data.dtype))
    half, one = tirx.const(0.5, data.dtype), tirx.const(1, data.dtype)
    errors = topi.fast_erf(scaled)
    return te.compute(data.shape, lambda *axes: data[axes] * half * (one + errors[axes]), name="gelu")


def _element_wise(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def legalize_call(builder: Any, call: Any) -> Any:
        if str(call.ty.dtype) != "float32":
            return call
        return builder.call_te(function, call.args[0], primfunc_name_hint=str(call.op.name).rsplit(".", 1)[1])

    return legalize_call


def _softmax(builder: Any, call: Any) -> Any:
    if str(call.ty.dtype) != "float32":
        return call
    return builder.call_te(
        topi.nn.fast_softmax, call.args[0], int(call.attrs.axis), primfunc_name_hint="softmax"
    )


FAST_MATH: dict[str, Callable[[Any, Any], Any]] = {
    "relax.exp": _element_wise(topi.fast_exp),
    "relax.tanh": _element_wise(topi.fast_tanh),
    "relax.erf": _element_wise(topi.fast_erf),
    "relax.sigmoid": _element_wise(sigmoid),
    "relax.nn.silu": _element_wise(silu),
    "relax.nn.gelu": _element_wise(gelu),
    "relax.nn.softmax": _softmax,
}
