from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from dyno.errors import ConfigError
from dyno.procs import Child, start
from loadgen.usage import (
    Reading,
    UsageSampler,
    affinity,
    find_server,
    is_this_machine,
    named_server,
    window_usage,
)
from tests.loadgen.stub import stub_server

# A child of its own burns 0.2 s of CPU time and ends; then 0.1 s more is burnt, and 40 MiB are kept.
BURNER = """
import subprocess, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
if len(sys.argv) > 2:
    burn(0.2)
else:
    kept = bytearray(b"x" * 40 * 2**20)
    input_ = open(sys.argv[1])
    print("ready", flush=True)
    input_.readline()
    subprocess.run([sys.executable, __file__, "-", "child"])
    burn(0.1)
    print("burnt", flush=True)
    time.sleep(60)
"""


def wait_for(child: Child, word: str) -> None:
    for _ in range(500):
        if word in child.log_tail():
            return
        time.sleep(0.02)
    raise AssertionError(child.log_tail())


def test_cpu_time_of_a_tree_counts_children_that_have_ended(tmp_path: Path) -> None:
    script, go = tmp_path / "burner.py", tmp_path / "go"
    script.write_text(BURNER)
    os.mkfifo(go)
    with start([sys.executable, str(script), str(go)], log=tmp_path / "log") as child:
        with go.open("w") as gate:
            wait_for(child, "ready")
            began_s = time.monotonic()
            sampler = UsageSampler({"server": (child.pid,), "generator": ()}, began_s)
            sampler.end_at(began_s + 1.5)
            time.sleep(0.1)
            gate.write("go\n")
        wait_for(child, "burnt")
        time.sleep(max(0.0, began_s + 1.5 - time.monotonic()))
        usage = sampler.stop()
    assert usage is not None
    server = usage.groups["server"]
    # 0.3 s burnt in 1.5 s (the clock ticks in 10 ms), and starting a Python takes some.
    assert 0.28 <= server.cpu_cores_mean * 1.5 < 0.6
    assert 40 < server.memory_mib_max < 120
    assert server.samples >= 3
    assert "generator" not in usage.groups


def test_a_window_that_was_cut_short_gives_no_usage() -> None:
    now_s = time.monotonic()
    sampler = UsageSampler({"server": (), "generator": (os.getpid(),)}, now_s)
    sampler.end_at(now_s + 60)
    assert sampler.stop() is None


def test_a_stop_right_after_a_late_word_of_the_end_gives_usage() -> None:
    began_s = time.monotonic()
    sampler = UsageSampler({"server": (), "generator": (os.getpid(),)}, began_s)
    time.sleep(0.1)
    sampler.end_at(time.monotonic() - 0.01)
    usage = sampler.stop()
    assert usage is not None
    assert usage.groups["generator"].samples >= 1


def test_a_window_whose_beginning_was_missed_gives_no_usage() -> None:
    now_s = time.monotonic()
    sampler = UsageSampler({"server": (), "generator": (os.getpid(),)}, now_s - 60)
    sampler.end_at(now_s - 0.01)
    time.sleep(0.05)
    assert sampler.stop() is None


def test_other_work_and_stolen_time_are_what_is_left() -> None:
    before = Reading(10.0, {"server": 1.0, "generator": 2.0, "observer": 0.5}, 100.0, 5.0, 1000.0)
    after = Reading(20.0, {"server": 9.0, "generator": 3.0, "observer": 0.6}, 114.1, 6.0, 1040.0)
    usage = window_usage(before, after, {"server": [2**20, 3 * 2**20], "generator": [2**20]})
    assert usage.groups["server"].cpu_cores_mean == pytest.approx(0.8)
    assert usage.groups["server"].memory_mib_max == 3.0
    # 14.1 s were busy, 9.1 s of them by what was watched: 0.5 cores over 10 s.
    assert usage.other_cores == pytest.approx(0.5)
    assert usage.stolen_share == pytest.approx(1 / 40)


def test_a_server_is_found_by_its_port(tmp_path: Path) -> None:
    with stub_server(tmp_path) as server:
        assert find_server(server.url) == (server.pid,)
        assert named_server(server.pid) == (server.pid,)
    assert find_server(server.url) == ()
    with pytest.raises(ConfigError, match="there is no process"):
        named_server(server.pid)


def test_this_machine_knows_itself() -> None:
    assert is_this_machine("localhost")
    assert is_this_machine("127.0.0.1")
    assert not is_this_machine("192.0.2.1")
    assert not is_this_machine("no-such-host.invalid")


def test_affinity_is_that_of_the_tree() -> None:
    assert affinity((os.getpid(),)) >= os.sched_getaffinity(0)
    assert affinity(()) == frozenset()
