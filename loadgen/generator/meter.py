"""How late the event loop of the generator is, and how much CPU it uses; sampled inside the Locust process.

A greenlet asks to be woken every 10 ms and notes by how much it was woken late: whatever kept the loop from
it (a long callback, a busy processor, other processes) keeps it from answers that have come, too, and that
time is in their latency. The same readings hold the process's own CPU clock, so that each process of a
distributed test, here or on another machine, can be judged by itself; and for how long the loop
was kept awake without work (loadgen.generator.precise), which limits no rate.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import replace

import gevent
import numpy as np

from modeldyno.loadgen.generator.precise import AWAKE
from modeldyno.loadgen.generator.wire.sender import now_ns
from modeldyno.loadgen.stats.recording import NS_PER_US, Recording

EVERY_S = 0.01
EVERY_NS = round(EVERY_S * 1e9)


class LoopMeter:
    """Four numbers every 10 ms."""

    def __init__(self) -> None:
        self._at_ns, self._lag_ns = array("q"), array("q")
        self._cpu_ns, self._awake_ns = array("q"), array("q")

    def start(self) -> None:
        """Sample from now on, until the process ends."""
        gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            due_ns = now_ns() + EVERY_NS
            gevent.sleep(EVERY_S)
            woken_ns = now_ns()
            self._at_ns.append(woken_ns)
            self._lag_ns.append(max(0, woken_ns - due_ns))
            self._cpu_ns.append(time.process_time_ns())
            self._awake_ns.append(AWAKE.total_ns)

    def add_to(self, recording: Recording, start_ns: int) -> Recording:
        """Return the recording with the samples so far."""
        return replace(
            recording,
            loop_at_us=(np.array(self._at_ns, np.int64) - start_ns) // NS_PER_US,
            loop_lag_us=np.array(self._lag_ns, np.int64) // NS_PER_US,
            loop_cpu_us=np.array(self._cpu_ns, np.int64) // NS_PER_US,
            loop_awake_us=np.array(self._awake_ns, np.int64) // NS_PER_US,
        )
