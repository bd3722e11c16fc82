"""Functions that LLVM would call one number at a time, as polynomials that run in vectors.

exp, tanh and erf are TVM's own approximations (after Cephes and Eigen), log is Cephes' logf, the logistic
function has a shorter exp (`loops/exponential.py`): their error on float32 is stated by the tests beside
this module, and the parity check bounds what it does to a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tvm import te, tirx, topi

from modeldyno.compiler.graph.fold import constant
from modeldyno.compiler.loops.exponential import CLOSEST, power_of_e

if TYPE_CHECKING:
    from tvm import relax

# log(1 + f) = f - f²/2 + f³ * polynomial for 1/√2 <= 1 + f <= √2, highest power first (Cephes logf).
_LOG = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
# ln(2) in two parts: the first has zeros enough that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
# (exp(r) - 1 - r) / r² for |r| <= ln(2) / 2, highest power first (Cephes expf).
_EXP = (
    *(1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1),
    5.0000001201e-1,
)
_FARTHEST = 87.0  # exp of it is finite, and its reciprocal no denormal number
# Exponents that stand for short products; 0.5 is a root, and others go through `pow`.
_POWERS: dict[float, Callable[[te.Tensor], te.Tensor]] = {
    1.0: topi.identity,
    2.0: lambda data: topi.multiply(data, data),
    3.0: lambda data: topi.multiply(topi.multiply(data, data), data),
}


def sigmoid(data: te.Tensor) -> te.Tensor:
    """1 / (1 + exp(-x)), element-wise; 0 below -87."""

    def element(*axes: tirx.Var) -> tirx.Expr:
        limited = tirx.min(_number(_FARTHEST), -data[axes])
        curve = _number(1) / (_number(1) + power_of_e(limited, 1, least=-_FARTHEST, polynomial=CLOSEST))
        # Written so that what is no number fails the test and comes out as itself.
        return tirx.Select(-data[axes] > _number(_FARTHEST), _number(0), curve)

    return te.compute(data.shape, element, name="sigmoid")


def silu(data: te.Tensor) -> te.Tensor:
    """x * sigmoid(x), element-wise."""
    return topi.multiply(data, sigmoid(data))


def gelu(data: te.Tensor) -> te.Tensor:
    """x / 2 * (1 + erf(x / √2)), element-wise: GELU's exact form."""
    scaled = topi.multiply(data, tirx.const(math.sqrt(0.5), data.dtype))
    half, one = tirx.const(0.5, data.dtype), tirx.const(1, data.dtype)
    errors = topi.fast_erf(scaled)
    return te.compute(data.shape, lambda *axes: data[axes] * half * (one + errors[axes]), name="gelu")


def gelu_tanh(data: te.Tensor) -> te.Tensor:
    """x / 2 * (1 + tanh(√(2/π) * (x + 0.044715 x³))), element-wise: GELU's approximate form."""
    scale, cubic = _number(math.sqrt(2 / math.pi)), _number(0.044715)
    inner = te.compute(
        data.shape,
        lambda *axes: scale * data[axes] * (_number(1) + cubic * data[axes] * data[axes]),
        name="gelu_inner",
    )
    curve = topi.fast_tanh(inner)
    return te.compute(
        data.shape, lambda *axes: data[axes] * _number(0.5) * (_number(1) + curve[axes]), name="gelu_tanh"
    )


def exponential(data: te.Tensor) -> te.Tensor:
    """Exp, element-wise: over all of float32's range, denormal numbers too; TVM's own ends at exp(88.02)."""
    return te.compute(data.shape, lambda *axes: _exp_of(data[axes]), name="exp")


def _exp_of(value: tirx.Expr | te.TensorSlice) -> tirx.Expr:
    """exp(x) = 2^n * exp(r), |r| <= ln(2) / 2; 2^n in two factors, since 2^128 is no float32 number."""
    # The number first: what is no number stays none. exp(-104) is 0, and exp(89) infinite.
    limited = tirx.min(_number(89), tirx.max(_number(-104), value))
    power = tirx.floor(limited * _number(1 / math.log(2)) + _number(0.5))
    rest = limited - power * _number(_LN2_HIGH) - power * _number(_LN2_LOW)
    curve = _number(_EXP[0])
    for coefficient in _EXP[1:]:
        curve = curve * rest + _number(coefficient)
    curve = curve * rest * rest + rest + _number(1)
    whole = tirx.Cast("int32", power)
    half = whole >> 1
    return curve * _power_of_two(half) * _power_of_two(whole - half)


def _power_of_two(exponent: tirx.Expr) -> tirx.Expr:
    return tirx.reinterpret("float32", (exponent + 127) << 23)


def sinh(data: te.Tensor) -> te.Tensor:
    """Hyperbolic sine, element-wise: TVM has none that runs in vectors."""

    def element(*axes: tirx.Var) -> tirx.Expr:
        value, square = data[axes], data[axes] * data[axes]
        # The series of small numbers, of which the exponentials would leave no digit.
        series = _number(1 / 362880)
        for factor in (1 / 5040, 1 / 120, 1 / 6, 1.0):
            series = series * square + _number(factor)
        half, twin = _halves(value)
        return tirx.Select(tirx.abs(value) < _number(1), value * series, half - twin)

    return te.compute(data.shape, element, name="sinh")


def cosh(data: te.Tensor) -> te.Tensor:
    """Hyperbolic cosine, element-wise: TVM has none that runs in vectors."""

    def element(*axes: tirx.Var) -> tirx.Expr:
        half, twin = _halves(data[axes])
        return half + twin

    return te.compute(data.shape, element, name="cosh")


def _halves(value: tirx.Expr | te.TensorSlice) -> tuple[tirx.Expr, tirx.Expr]:
    """exp(x) / 2 and exp(-x) / 2, which are finite where the first of them is."""
    ln2 = _number(math.log(2))
    return _exp_of(value - ln2), _exp_of(-value - ln2)


def erf(data: te.Tensor) -> te.Tensor:
    """Error function, element-wise; TVM's own gives 1 for what is no number."""
    curve = topi.fast_erf(data)

    def element(*axes: tirx.Var) -> tirx.Expr:
        # Not by isnan, of which LLVM makes a branch, and ten times the time.
        number = tirx.abs(data[axes]) <= _number(math.inf)
        return tirx.Select(number, curve[axes], data[axes])

    return te.compute(data.shape, element, name="erf")


def square_root(data: te.Tensor) -> te.Tensor:
    """x to the power of 0.5, element-wise, which is infinite where x is -inf."""

    def element(*axes: tirx.Var) -> tirx.Expr:
        infinite = data[axes] == _number(-math.inf)
        return tirx.Select(infinite, _number(math.inf), tirx.sqrt(data[axes]))

    return te.compute(data.shape, element, name="square_root")


def log(data: te.Tensor) -> te.Tensor:
    """Natural logarithm, element-wise: -inf of zero, and no number of what is negative."""
    return te.compute(data.shape, lambda *axes: log_of(data[axes]), name="log")


def softplus(data: te.Tensor, *, beta: float, threshold: float) -> te.Tensor:
    """log(1 + exp(beta x)) / beta, element-wise; x itself where beta x is above `threshold`."""
    small = te.compute(data.shape, lambda *axes: -_number(beta) * tirx.abs(data[axes]), name="small")
    powers = topi.fast_exp(small)

    def element(*axes: tirx.Var) -> tirx.Expr:
        value = data[axes]
        curve = tirx.max(value, _number(0)) + _log_of_one_plus(powers[axes]) * _number(1 / beta)
        # Written so that what is no number fails the test and comes out as itself.
        return tirx.Select(value * _number(beta) <= _number(threshold), curve, value)

    return te.compute(data.shape, element, name="softplus")


def _number(value: float) -> tirx.Expr:
    return tirx.const(value, "float32")


def log_of(value: tirx.Expr | te.TensorSlice) -> tirx.Expr:
    """Natural logarithm of one float32 number."""
    # Denormal numbers have no exponent of their own: 2^24 times them has.
    tiny = value < _number(1.17549435e-38)
    scaled = tirx.Select(tiny, value * _number(1 << 24), value)
    bits = tirx.reinterpret("int32", scaled)
    exponent = (bits - 0x3F3504F3) >> 23  # of the power of two for which the mantissa is from 1/√2 to √2
    mantissa = tirx.reinterpret("float32", bits - (exponent << 23))
    power = tirx.Cast("float32", exponent) - tirx.Select(tiny, _number(24), _number(0))
    found = _log_near_one(mantissa - _number(1), power)
    infinite = tirx.Select(value < _number(math.inf), found, value)
    return tirx.Select(
        value > _number(0),
        infinite,
        tirx.Select(value < _number(0), _number(math.nan), value - _number(math.inf)),
    )


def _log_of_one_plus(value: tirx.Expr | te.TensorSlice) -> tirx.Expr:
    """log(1 + u) for 0 <= u <= 1, to all digits of a small u."""
    far = value > _number(math.sqrt(2) - 1)
    fraction = tirx.Select(far, (value - _number(1)) * _number(0.5), value)
    return _log_near_one(fraction, tirx.Select(far, _number(1), _number(0)))


def _log_near_one(fraction: tirx.Expr, power: tirx.Expr) -> tirx.Expr:
    """log((1 + f) * 2^power)."""
    square = fraction * fraction
    curve = _number(_LOG[0])
    for coefficient in _LOG[1:]:
        curve = curve * fraction + _number(coefficient)
    tail = curve * fraction * square + power * _number(_LN2_LOW) - square * _number(0.5)
    return fraction + tail + power * _number(_LN2_HIGH)


def _softplus(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    if str(call.ty.dtype) != "float32" or float(call.attrs.beta) <= 0:
        return call
    kernel = partial(softplus, beta=float(call.attrs.beta), threshold=float(call.attrs.threshold))
    return builder.call_te(kernel, call.args[0], primfunc_name_hint="softplus")


def _power(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    exponent = constant(call.args[1])
    if exponent is None or exponent.size != 1 or exponent.ndim > len(call.args[0].ty.shape):
        return call
    power = float(exponent.reshape(-1)[0])
    product = square_root if power == 0.5 else _POWERS.get(power)
    if product is None or str(call.ty.dtype) != "float32":
        return call
    return builder.call_te(product, call.args[0], primfunc_name_hint="power")


def _element_wise(
    function: Callable[[te.Tensor], te.Tensor],
) -> Callable[[relax.BlockBuilder, relax.Call], relax.Call]:
    def legalize_call(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
        if str(call.ty.dtype) != "float32":
            return call
        return builder.call_te(function, call.args[0], primfunc_name_hint=str(call.op.name).rsplit(".", 1)[1])

    return legalize_call


def _softmax(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    if str(call.ty.dtype) != "float32":
        return call
    return builder.call_te(
        topi.nn.fast_softmax, call.args[0], int(call.attrs.axis), primfunc_name_hint="softmax"
    )


FAST_MATH: dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Call]] = {
    "relax.exp": _element_wise(exponential),
    "relax.sinh": _element_wise(sinh),
    "relax.cosh": _element_wise(cosh),
    "relax.tanh": _element_wise(topi.fast_tanh),
    "relax.erf": _element_wise(erf),
    "relax.sigmoid": _element_wise(sigmoid),
    "relax.nn.silu": _element_wise(silu),
    "relax.nn.gelu": _element_wise(gelu),
    "relax.nn.gelu_tanh": _element_wise(gelu_tanh),
    "relax.log": _element_wise(log),
    "relax.nn.softplus": _softplus,
    "relax.power": _power,
    "relax.nn.softmax": _softmax,
}
