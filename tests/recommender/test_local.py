from __future__ import annotations

import http.client
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from modeldyno.base.errors import ServerError
from modeldyno.base.host.cgroups import memory_cap_refusal
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.records.record import HostFacts
from modeldyno.base.records.run import InstanceType
from modeldyno.trials.providers.base import SERVING, Order
from modeldyno.trials.providers.local import LocalProvider
from tests.recommender.tiny import instance, planned, processes_naming, write_model

HOST = HostFacts(
    cpu_model="Test CPU",
    architecture="x86_64",
    logical_cores=4,
    usable_cores=2,
    threads_per_core=1,
    cpu_features=(),
    memory_gib=8.0,
    kernel="6",
    python="3",
    instance_type=None,
)
X86 = instance(architecture="x86_64")
PROVIDER = LocalProvider(HOST, cores=(1, 3))


def order(folder: Path, model: Path, kind: InstanceType, startup_timeout_s: float = 60.0) -> Order:
    return Order(planned(kind).candidate, kind, model, folder / "server.log", startup_timeout_s)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (X86, None),
        (instance(architecture="x86_64", vcpus=2), None),
        (instance(architecture="x86_64", vcpus=4), "needs 4 vCPUs, this host has 2 usable cores"),
        (instance(architecture="arm64"), "arm64 cannot be emulated on x86_64"),
        (instance(architecture="x86_64", gpu="T4", gpu_count=1), "needs a GPU (T4), which is not emulated"),
        (instance(architecture="x86_64", memory_gib=64), None),  # less memory is a note, not a refusal
    ],
)
def test_what_cannot_be_emulated_here_is_refused_in_words(kind: InstanceType, reason: str | None) -> None:
    assert PROVIDER.refusal(kind) == reason


def test_the_generator_gets_the_cores_that_the_server_leaves() -> None:
    assert PROVIDER.split(instance(vcpus=1)) == ((1,), (3,))
    assert PROVIDER.split(instance(vcpus=2)) == ((1, 3), None)


def test_only_the_very_instance_type_counts_as_measured() -> None:
    on_c7a = LocalProvider(HOST.model_copy(update={"instance_type": "c7a.large"}), (0, 1))
    assert PROVIDER.fidelity(instance("c7a.large")) == "emulated"
    assert on_c7a.fidelity(instance("c7a.large")) == "measured"
    assert on_c7a.fidelity(instance("ml.c7a.large")) == "measured"
    assert on_c7a.fidelity(instance("c7a.xlarge")) == "emulated"


@pytest.mark.parametrize(
    ("kind", "capped", "said"),
    [
        (instance(), True, "not those of test.one's Some CPU"),
        (instance(), False, "this system allows no memory cap: the 1.5 GiB were not enforced"),
        (instance(memory_gib=64), True, "this host has 8 GiB of memory, less than the 64 GiB"),
        (instance(vcpus=2, cores=1), True, "has 2 vCPUs on one core, here each is a core of its own"),
        (instance(vcpus=2, cores=None), True, "threads per core of test.one are not published"),
        (instance(vcpus=2, cores=2), True, "the load generator shared the server's cores"),
    ],
)
def test_the_notes_say_what_the_emulation_leaves_out(kind: InstanceType, capped: bool, said: str) -> None:
    assert any(said in note for note in PROVIDER.notes(kind, capped=capped))


def test_a_note_is_made_only_where_it_applies() -> None:
    assert len(PROVIDER.notes(instance(), capped=True)) == 1


def test_hyperthreads_of_this_host_are_told() -> None:
    smt = LocalProvider(HOST.model_copy(update={"threads_per_core": 2}), (0, 1))
    assert any("here 2 share one" in note for note in smt.notes(instance(), capped=True))
    assert not any("share one" in note for note in smt.notes(instance(vcpus=2, cores=1), capped=True))


def test_a_server_runs_on_the_cores_of_its_type_and_is_gone_afterwards(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    provider = LocalProvider()
    with provider.deploy(order(tmp_path, model, instance())) as deployed:
        assert deployed.state == SERVING
        assert 0 < deployed.startup_s < 60
        assert psutil.Process(deployed.usage.pid).cpu_affinity() == [usable_cores()[0]]
        port = int(deployed.url.split(":")[2].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/ping")
        assert connection.getresponse().status == 200
        connection.close()
        assert processes_naming(tmp_path)
        psutil.Process(deployed.usage.pid).kill()
        deployed.process.child.process.wait(5)
        state = deployed.state
        assert not state.serving
        assert state.reason.startswith("the server was killed by signal 9")
    assert not processes_naming(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "server.log"]


def test_several_processes_stay_on_the_cores_of_the_type_and_under_its_memory_cap(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    ordered = order(tmp_path, model, instance())
    settings = ordered.candidate.settings.model_copy(update={"processes": 2})
    candidate = ordered.candidate.model_copy(update={"settings": settings})
    with LocalProvider().deploy(replace(ordered, candidate=candidate)) as deployed:
        parent = psutil.Process(deployed.usage.pid)
        family = [parent, *parent.children(recursive=True)]
        assert len(family) >= 3  # the parent serves nothing itself
        assert {tuple(each.cpu_affinity()) for each in family} == {(usable_cores()[0],)}
        if deployed.process.group is not None:
            capped = (deployed.process.group.folder / "cgroup.procs").read_text().split()
            assert {str(each.pid) for each in family} <= set(capped)
    assert not processes_naming(tmp_path)


def test_a_server_that_dies_while_loading_is_told_with_its_last_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("no model")
    launch = LocalProvider().deploy(order(tmp_path, broken, instance()))
    with (
        pytest.raises(
            ServerError, match=r"never got ready: the server ended with exit status 2.*broken\.onnx"
        ),
        launch,
    ):
        pass
    assert not processes_naming(tmp_path)


def test_a_server_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    launch = LocalProvider().deploy(order(tmp_path, model, instance(), startup_timeout_s=0.01))
    with (
        pytest.raises(ServerError, match=r"not ready in time \(server.startup_timeout_s\): no port opened"),
        launch,
    ):
        pass
    assert not processes_naming(tmp_path)


def test_a_server_over_the_memory_of_its_type_is_told_so(tmp_path: Path) -> None:
    if refusal := memory_cap_refusal():
        pytest.skip(f"memory can't be capped here: {refusal}")
    model = write_model(tmp_path / "m.onnx")
    small = instance(memory_gib=0.02)
    with (
        pytest.raises(ServerError, match=r"killed: exceeded the 0\.02 GiB of test\.one"),
        LocalProvider().deploy(order(tmp_path, model, small)),
    ):
        pass
