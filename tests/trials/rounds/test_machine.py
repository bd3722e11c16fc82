"""What else the machine does: seen while there is something, and in what a server itself does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from modeldyno.base.host.facts import usable_cores
from modeldyno.base.process.cpu_clocks import all_clocks, cpu_ns, spent_elsewhere_s, tree, used_s
from modeldyno.trials.compare.blocks import Readings
from modeldyno.trials.compare.taint import TaintLimits
from modeldyno.trials.rounds.machine import MachineWatch
from modeldyno.trials.rounds.yardstick import Yardstick

CORE = usable_cores()[0]
BUSY = f"import os\nos.sched_setaffinity(0, {{{CORE}}})\nprint(flush=True)\nwhile True: pass"


@contextmanager
def busy_loop() -> Iterator[int]:
    """A process that does nothing else, on the first core."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def watched(known: tuple[int, ...], seconds: float = 0.5) -> Readings:
    watch = MachineWatch(lambda: known)
    moment = watch.begin((CORE,))
    time.sleep(seconds)
    return watch.end(moment, 0.2)


def test_a_busy_loop_on_the_cores_is_foreign_unless_it_is_known() -> None:
    with busy_loop() as pid:
        spent_ns = cpu_ns(pid)
        foreign = watched(())
        used = ((cpu_ns(pid) or 0) - (spent_ns or 0)) / 1e9
        known = watched((pid,))
    assert foreign.foreign_cpu is not None
    assert known.foreign_cpu is not None
    # What it got of the core is what was seen; where others want it too, it gets less.
    assert foreign.foreign_cpu > 0.6 * used / 0.5
    assert used > 0.05
    assert foreign.generator_lag_ms == 0.2
    assert "foreign_cpu" in TaintLimits().exceeded(foreign)
    clocks = all_clocks()
    assert pid not in clocks


def test_of_a_server_elsewhere_nothing_is_read_but_the_generator() -> None:
    watch = MachineWatch(lambda: ())
    assert watch.end(watch.begin(()), 1.5) == Readings(generator_lag_ms=1.5)


def test_clocks_tell_whose_time_it_was() -> None:
    with busy_loop() as pid:
        before, mine = all_clocks(), used_s((os.getpid(), pid))
        time.sleep(0.2)
        after = all_clocks()
        now = used_s((os.getpid(), pid))
        assert pid in tree(os.getpid())
        assert mine is not None
        assert now is not None
        assert now > mine
        before, after = {pid: before[pid]}, {pid: after[pid]}  # others may change their core meanwhile
        elsewhere = spent_elsewhere_s(before, after, frozenset(), frozenset({CORE}))
        assert elsewhere == pytest.approx((after[pid] - before[pid]) / 1e9)
        assert spent_elsewhere_s(before, after, frozenset({pid}), frozenset({CORE})) == 0
    assert cpu_ns(pid) is None
    assert used_s((pid,)) is None
    assert used_s(()) is None


def test_the_yardstick_is_of_a_core_and_leaves_the_thread_where_it_was() -> None:
    before, yardstick = os.sched_getaffinity(0), Yardstick()
    first = yardstick.ratio((CORE,))
    assert 0.5 < first < 20
    assert os.sched_getaffinity(0) == before
