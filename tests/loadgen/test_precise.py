"""Waiting for the very moment; in a process of its own, since gevent stays out of the tests' one."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gevent
from gevent import socket
from modeldyno.loadgen.generator.precise import AWAKE, spin_ns, wait_until
from modeldyno.loadgen.generator.wire.sender import now_ns

assert [spin_ns(rate) for rate in (1, 500, 1000, 10_000)] == [200_000, 200_000, 100_000, 0]
here, there = socket.socketpair()
read, prepared = [], []
def answer():
    for _ in range(5):
        gevent.sleep(0.002)
        there.sendall(b"1")
def reader():
    for _ in range(5):
        here.recv(1)
        read.append(now_ns())
gevent.spawn(reader)
gevent.spawn(answer)
begin = now_ns()
got = wait_until(begin + 30_000_000, 20_000_000, lambda: prepared.append(now_ns()) or "ready")
end = now_ns()
assert got == "ready"
assert end >= begin + 30_000_000
# Prepared after the sleep; answers that came meanwhile were read.
assert begin + 10_000_000 <= prepared[0] < begin + 30_000_000
assert len(read) == 5 and read[-1] < end
# It was awake for 20 ms, and is so no more.
assert AWAKE.total_ns > 19_000_000, AWAKE.total_ns
before = AWAKE.total_ns
gevent.sleep(0.01)
assert AWAKE.total_ns == before
assert wait_until(now_ns() - 1, 200_000, lambda: 1) == 1
"""


def test_nobody_is_early_and_answers_are_read_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
