"""exp of numbers over vectors: what softmax raises, and what the logistic function divides by."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tvm import tirx

from modeldyno.compiler.loops.vectors import number

# exp(r) for |r| <= ln(2) / 2 by polynomials of the fifth degree, highest power first: the one of least
# relative error (7.5e-8), and the one of least (9.5e-8) among those that are exactly 1 at 0. By that, the
# logarithm of a certain softmax is 0.
CLOSEST = (
    *(0.008297647349536419, 0.04191543161869049, 0.16667574644088745),
    *(0.49998894333839417, 0.9999997019767761, 1.0000001192092896),
)
EXACT_AT_0 = (
    *(0.008290315046906471, 0.04189793020486832, 0.1666763573884964),
    *(0.4999915063381195, 0.9999997019767761, 1.0),
)
# 1.5 * 2^23: what is added to it is rounded to a whole number, which then stands in its lowest bits.
_ROUNDER = 12582912.0
_LEAST = -70.0


def power_of_e(
    value: tirx.Expr, lanes: int, *, least: float = _LEAST, polynomial: Sequence[float] = EXACT_AT_0
) -> tirx.Expr:
    """exp(value) in each lane, value <= 87: 2^n * exp(r), |r| <= ln(2) / 2.

    The relative error is at most 5e-7 (`CLOSEST`: 4e-7) down to exp(least), and nothing smaller comes out:
    beside the 1 in each row of a softmax it would not be seen, and no denormal number (hundred times slower)
    is ever made. What is no number stays none: the order of the arguments of `max` sees to that.
    """
    many = f"x{lanes}" if lanes > 1 else ""
    value = tirx.max(number(least, lanes), value)
    bits = tirx.reinterpret(f"int32{many}", value * number(1 / math.log(2), lanes) + number(_ROUNDER, lanes))
    # By way of the bits: of a plain x + c - c, TVM's simplifier leaves x.
    whole = tirx.reinterpret(f"float32{many}", bits) - number(_ROUNDER, lanes)
    rest = value - whole * number(math.log(2), lanes)
    power = number(polynomial[0], lanes)
    for coefficient in polynomial[1:]:
        power = power * rest + number(coefficient, lanes)
    shift = tirx.const(23, "int32")
    exponent = bits << (tirx.Broadcast(shift, lanes) if lanes > 1 else shift)
    return tirx.reinterpret(f"float32{many}", tirx.reinterpret(f"int32{many}", power) + exponent)
