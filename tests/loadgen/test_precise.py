"""Waiting for the very moment; in a process of its own, since gevent stays out of the tests' one."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gevent
from loadgen.locustfiles.precise import spin_ns, wait_until
from loadgen.locustfiles.sender import now_ns

assert [spin_ns(rate) for rate in (1, 500, 1000, 10_000)] == [200_000, 200_000, 100_000, 10_000]
turns = []
def other():
    while True:
        turns.append(now_ns())
        gevent.sleep(0)
gevent.spawn(other)
begin = now_ns()
wait_until(begin + 30_000_000, 20_000_000)
end = now_ns()
assert end >= begin + 30_000_000
# Awake for the last 20 ms, it let the other one have its turns all the time.
late = [turn for turn in turns if turn > begin + 10_000_000]
assert len(late) > 5, len(late)
wait_until(now_ns() - 1, 200_000)
"""


def test_nobody_is_early_and_others_get_their_turns_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
