"""The one loop that times a call again and again."""

from __future__ import annotations

import time
from collections.abc import Callable


def times_ms(call: Callable[[], object], repeat: int, *, warm: int) -> list[float]:
    """Time `repeat` calls in milliseconds, after `warm` of them untimed."""
    for _ in range(warm):
        call()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000.0)
    return times
