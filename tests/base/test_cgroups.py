"""A capped group holds its processes to the cap. v1 or v2, whichever this machine has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modeldyno.base.host.cgroup_limits import cpu_limit_cores, memory_limit_bytes
from modeldyno.base.host.cgroups import (
    MemoryCgroup,
    OwnGroup,
    memory_cap_refusal,
    memory_cgroup,
    oom_killed,
    own_group,
)

MIB = 2**20
REFUSAL = memory_cap_refusal()
needs_cgroups = pytest.mark.skipif(REFUSAL is not None, reason=f"memory can't be capped here: {REFUSAL}")


@pytest.fixture
def group() -> Iterator[MemoryCgroup]:
    with memory_cgroup(64 * MIB) as made:
        assert made is not None
        yield made


def run_in(group: MemoryCgroup, code: str) -> int:
    """Run Python code that starts when its process is in the group."""
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.stdin.readline(); {code}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        group.add(child.pid)
        child.communicate(b"\n")
        return child.returncode


@needs_cgroups
def test_a_process_that_allocates_more_than_the_cap_is_killed_and_counted(group: MemoryCgroup) -> None:
    assert run_in(group, "bytearray(20 * 2**20)") == 0
    assert oom_killed(group) == 0
    assert run_in(group, "bytearray(200 * 2**20)") == -signal.SIGKILL
    assert oom_killed(group) == 1


@needs_cgroups
def test_a_process_started_by_one_in_the_group_is_capped_too(group: MemoryCgroup) -> None:
    nested = (
        "import subprocess; sys.exit(subprocess.call([sys.executable, '-c', 'bytearray(200 * 2**20)']) == -9)"
    )
    assert run_in(group, nested) == 1
    assert oom_killed(group) == 1


@needs_cgroups
def test_swap_does_not_stretch_the_cap(group: MemoryCgroup) -> None:
    swap_caps = {"memory.swap.max": "0", "memory.memsw.limit_in_bytes": str(64 * MIB)}  # v2, v1
    known = [name for name in swap_caps if (group.folder / name).exists()]
    if not known:
        pytest.skip("this kernel does not account for swap")
    assert [(group.folder / name).read_text().strip() for name in known] == [
        swap_caps[name] for name in known
    ]


def use_and_fail(seen: list[Path]) -> None:
    with memory_cgroup(64 * MIB) as made:
        assert made is not None
        seen.append(made.folder)
        assert made.folder.is_dir()
        raise RuntimeError("halfway")


@needs_cgroups
def test_the_group_is_gone_afterwards_also_when_the_block_fails() -> None:
    seen: list[Path] = []
    with pytest.raises(RuntimeError, match="halfway"):
        use_and_fail(seen)
    assert [folder.exists() for folder in seen] == [False]


@needs_cgroups
def test_removal_waits_for_a_process_that_is_still_ending() -> None:
    child = subprocess.Popen(["/bin/sleep", "0.4"])
    with memory_cgroup(64 * MIB) as made:
        assert made is not None
        made.add(child.pid)
    assert not made.folder.exists()
    assert child.wait() == 0


@needs_cgroups
def test_adding_a_process_that_has_ended_is_no_error(group: MemoryCgroup) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    group.add(child.pid)


@needs_cgroups
def test_a_group_left_by_a_killed_process_is_removed_by_the_next(group: MemoryCgroup) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    stale = group.folder.parent / f"dyno-{child.pid}-0badc0de"
    stale.mkdir()
    with memory_cgroup(64 * MIB):
        assert not stale.exists()
        assert group.folder.exists()


def _proc(folder: Path, cgroup: str, mountinfo: str) -> Path:
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mountinfo)
    return folder


def test_the_own_group_is_found_on_a_v1_machine(tmp_path: Path) -> None:
    proc = _proc(
        tmp_path,
        "9:name=systemd:/\n4:cpu,cpuacct:/batch\n3:memory:/jobs/7\n0::/unified\n",
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    )
    memory, root = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    assert own_group("memory", proc) == OwnGroup(memory / "jobs/7", memory, 1)
    assert own_group("cpu", proc) == OwnGroup(root / "cpu/batch", root / "cpu", 1)
    assert own_group("io", proc) == OwnGroup(root / "unified/unified", root / "unified", 2)


def test_the_own_group_is_found_on_a_v2_machine(tmp_path: Path) -> None:
    mountinfo = "30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    proc = _proc(tmp_path, "0::/user.slice/session-3.scope\n", mountinfo)
    root = Path("/sys/fs/cgroup")
    assert own_group("memory", proc) == OwnGroup(root / "user.slice/session-3.scope", root, 2)


def test_the_own_group_is_found_where_a_container_sees_only_its_subtree(tmp_path: Path) -> None:
    mountinfo = "35 31 0:32 /docker/ab /cg/my\\040memory ro - cgroup cgroup rw,memory\n"
    proc = _proc(tmp_path, "3:memory:/docker/ab/inner\n", mountinfo)
    mount = Path("/cg/my memory")
    assert own_group("memory", proc) == OwnGroup(mount / "inner", mount, 1)


def test_no_control_groups_is_no_group_and_no_limit(tmp_path: Path) -> None:
    assert own_group("memory", tmp_path) is None
    assert own_group("memory", _proc(tmp_path, "0::/\n", "")) is None
    assert cpu_limit_cores(None) is None
    assert memory_limit_bytes(None) is None


def test_the_least_limit_on_the_way_up_counts_on_v2(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    (inner / "memory.max").write_text("max\n")
    own = OwnGroup(inner, tmp_path, 2)
    assert (cpu_limit_cores(own), memory_limit_bytes(own)) == (None, None)
    (tmp_path / "outer" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "outer" / "memory.max").write_text("1073741824\n")
    assert (cpu_limit_cores(own), memory_limit_bytes(own)) == (1.5, 2**30)


def test_the_least_limit_on_the_way_up_counts_on_v1(tmp_path: Path) -> None:
    for name, text in {
        "cpu.cfs_quota_us": "-1",
        "cpu.cfs_period_us": "100000",
        "memory.limit_in_bytes": "9223372036854771712",
    }.items():
        (tmp_path / name).write_text(text)
    own = OwnGroup(tmp_path, tmp_path, 1)
    assert (cpu_limit_cores(own), memory_limit_bytes(own)) == (None, None)
    (tmp_path / "cpu.cfs_quota_us").write_text("50000")
    (tmp_path / "memory.limit_in_bytes").write_text(str(512 * MIB))
    assert (cpu_limit_cores(own), memory_limit_bytes(own)) == (0.5, 512 * MIB)


def test_what_is_not_allowed_is_none_with_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io\n")
    monkeypatch.setattr("modeldyno.base.host.cgroups.own_group", lambda _: OwnGroup(tmp_path, tmp_path, 2))
    with memory_cgroup(64 * MIB) as made:
        assert made is None
    assert memory_cap_refusal() == f"the group {tmp_path} is not given the memory controller"
    monkeypatch.setattr("modeldyno.base.host.cgroups.own_group", lambda _: None)
    assert memory_cap_refusal() == "no control groups are mounted here"


def test_an_error_inside_the_block_without_a_group_comes_out_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modeldyno.base.host.cgroups.own_group", lambda _: None)
    with pytest.raises(KeyError) as caught, memory_cgroup(64 * MIB):
        raise KeyError(os.devnull)
    assert caught.value.__context__ is None
