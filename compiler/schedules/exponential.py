"""exp of numbers that are not above zero, over vectors: what softmax raises."""

from __future__ import annotations

import math
from typing import Any

from tvm import tirx

from compiler.schedules.vectors import number

# exp(r) for |r| <= ln(2) / 2, highest power first (Cephes expf).
_POLYNOMIAL = (
    *(1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2),
    *(1.6666665459e-1, 0.5, 1.0, 1.0),
)
_LEAST = -70.0


def power_of_e(value: Any, lanes: int) -> Any:
    """exp(value) in each lane, value <= 0, after Cephes: 2^n * exp(r), |r| <= ln(2) / 2.

    The relative error is at most 4e-7 down to exp(-70), and nothing smaller comes out: beside the 1 in each
    row of a softmax it would not be seen, and no denormal number (hundred times slower) is ever made. What is
    no number stays none: the order of the arguments of `max` sees to that.
    """
    value = tirx.max(number(_LEAST, lanes), value)
    whole = tirx.floor(value * number(1 / math.log(2), lanes) + number(0.5, lanes))
    rest = value - whole * number(math.log(2), lanes)
    power = number(_POLYNOMIAL[0], lanes)
    for coefficient in _POLYNOMIAL[1:]:
        power = power * rest + number(coefficient, lanes)
    many = f"x{lanes}" if lanes > 1 else ""
    shift = tirx.const(23, "int32")
    exponent = tirx.Cast(f"int32{many}", whole) << (tirx.Broadcast(shift, lanes) if lanes > 1 else shift)
    return tirx.reinterpret(f"float32{many}", tirx.reinterpret(f"int32{many}", power) + exponent)
