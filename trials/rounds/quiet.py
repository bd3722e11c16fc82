"""Waiting until the machine does nothing else."""

from __future__ import annotations

import time

from modeldyno.base.host.facts import usable_cores
from modeldyno.trials.compare.taint import TaintLimits
from modeldyno.trials.rounds.machine import MachineWatch

LOOK_S = 1.0
IN_A_ROW = 3


def wait_until_quiet(most_s: float) -> str:
    """Wait until others use under 5 % of the cores, three seconds in a row; at most so long.

    Returns nothing, or in words what goes on instead.
    """
    watch, cores, limits = MachineWatch(lambda: ()), usable_cores(), TaintLimits()
    ends_s, quiet, why = time.monotonic() + most_s, 0, ""
    while quiet < IN_A_ROW:
        if time.monotonic() >= ends_s:
            return why or "it was not seen idle for long enough"
        moment = watch.begin(cores)
        time.sleep(LOOK_S)
        foreign = watch.end(moment).foreign_cpu or 0.0
        quiet = quiet + 1 if foreign <= limits.foreign_cpu else 0
        why = f"others use {foreign:.0%} of its cores" if quiet == 0 else why
    return ""
