from __future__ import annotations

import os
import sys
import threading
import time
import types
from pathlib import Path

import psutil
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.process.procs import Child, start
from modeldyno.loadgen.watch.gpus import GpuMeter
from modeldyno.loadgen.watch.looks import Look, core_busy, switched, switches
from modeldyno.loadgen.watch.processes import affinity, find_server, is_this_machine, named_server
from modeldyno.loadgen.watch.usage import Reading, UsageSampler, window_usage
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
            time.sleep(0.1)
            gate.write("go\n")
        wait_for(child, "burnt")
        end_s = time.monotonic() + 0.6
        sampler.end_at(end_s)
        time.sleep(0.8)
        usage = sampler.stop()
    assert usage is not None
    server = usage.groups["server"]
    # 0.3 s burnt (the clock ticks in 10 ms), and starting a Python takes some.
    assert 0.28 <= server.cpu_cores_mean * (end_s - began_s) < 0.8
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
    usage = window_usage(before, after, {"server": [look(2), look(3)], "generator": [look(1)]})
    assert usage.groups["server"].cpu_cores_mean == pytest.approx(0.8)
    assert usage.groups["server"].memory_mib_max == 3.0
    # 14.1 s were busy, 9.1 s of them by what was watched: 0.5 cores over 10 s.
    assert usage.other_cores == pytest.approx(0.5)
    assert usage.stolen_share == pytest.approx(1 / 40)


def look(mib: int) -> Look:
    return Look(processes=1, rss_bytes=mib * 2**20, pss_bytes=None, threads=1)


def test_several_processes_count_by_their_proportional_shares() -> None:
    several = Look(processes=2, rss_bytes=80, pss_bytes=50, threads=4)
    assert several.memory_bytes == 50
    assert Look(processes=2, rss_bytes=80, pss_bytes=None, threads=4).memory_bytes == 80
    assert Look(processes=1, rss_bytes=80, pss_bytes=50, threads=4).memory_bytes == 80


def test_a_sleeper_switches_voluntarily_in_each_of_its_threads() -> None:
    me = [psutil.Process()]

    def naps() -> None:
        for _ in range(20):
            time.sleep(0.001)
        counted.wait(10)

    counted = threading.Event()
    before = switches(me)
    thread = threading.Thread(target=naps)
    thread.start()
    time.sleep(0.3)
    found = switched(before, switches(me))
    counted.set()
    thread.join()
    assert found is not None
    assert found[0] >= 20  # the other thread's, which /proc/PID/status does not count
    seen = core_busy(((1.0, 10.0), (2.0, 10.0)), ((2.0, 14.0), (2.0, 14.0)))
    assert seen == (0.25, 0.0)


def test_the_machine_and_the_process_are_told_whole() -> None:
    began_s = time.monotonic()
    sampler = UsageSampler({"server": (), "generator": (os.getpid(),)}, began_s)
    sampler.end_at(began_s + 0.4)
    time.sleep(0.6)
    usage = sampler.stop()
    assert usage is not None
    mine = usage.groups["generator"]
    assert mine.rss_mib_max is not None
    assert mine.rss_mib_max == mine.memory_mib_max > 10
    assert mine.pss_mib_max is None or 5 < mine.pss_mib_max <= mine.rss_mib_max * 1.05
    assert mine.threads_max is not None
    assert mine.threads_max >= 2
    assert mine.voluntary_switches is not None
    assert len(usage.machine.core_busy) == psutil.cpu_count()
    assert all(0 <= share <= 1 for share in usage.machine.core_busy)


class FakeNvml(types.ModuleType):
    """Two GPUs; the second tells nothing of its power."""

    nvmlInit = nvmlShutdown = staticmethod(lambda: None)  # noqa: N815 - the library's names
    nvmlDeviceGetCount = staticmethod(lambda: 2)  # noqa: N815
    nvmlDeviceGetHandleByIndex = staticmethod(lambda index: index)  # noqa: N815
    nvmlDeviceGetName = staticmethod(lambda index: (b"One", "Two")[index])  # noqa: N815
    nvmlDeviceGetUtilizationRates = staticmethod(lambda _: types.SimpleNamespace(gpu=40))  # noqa: N815
    nvmlDeviceGetMemoryInfo = staticmethod(lambda _: types.SimpleNamespace(used=3 * 2**20))  # noqa: N815

    @staticmethod
    def nvmlDeviceGetPowerUsage(index: int) -> int:  # noqa: N802
        if index:
            raise RuntimeError("not supported")
        return 250_000


def test_gpus_are_read_where_the_library_is_and_are_none_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml("pynvml"))
    meter = GpuMeter()
    meter.look()
    one, two = meter.close()
    assert (one.name, one.busy_share_mean, one.memory_mib_max, one.power_w_mean) == ("One", 0.4, 3.0, 250.0)
    assert (two.name, two.power_w_mean, two.samples) == ("Two", None, 1)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    bare = GpuMeter()
    bare.look()
    assert bare.close() == ()


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
