from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import TensorSpec
from modeldyno.base.records.run import Fidelity, InstanceType, Limits
from modeldyno.loadgen.generator.fleet import ALONE, Workers
from modeldyno.loadgen.generator.progress import LoadProgress
from modeldyno.loadgen.payloads.body import payload_for
from modeldyno.loadgen.payloads.files import single
from modeldyno.recommender.job.job import Job, Load
from modeldyno.recommender.job.trial_orders import workload as ordered
from modeldyno.trials.measure import trial as measured_trial
from modeldyno.trials.measure.orders import Workload
from modeldyno.trials.measure.sent import Sent
from modeldyno.trials.measure.trial import run_trial
from modeldyno.trials.providers.base import SERVING, Deployment, Order, ProcessTree, State
from modeldyno.trials.providers.local import LocalProvider
from tests.loadgen.stub import stub_server
from tests.recommender.measured import point
from tests.recommender.tiny import SIZE, instance, planned, processes_naming, write_model

INPUT = TensorSpec(name="x", dtype="float32", shape=(1, SIZE))


def workload(users: tuple[int, ...] = (1,), size: int = SIZE, timeout_s: float = 60.0) -> Workload:
    load = Load(users=users, warmup_s=0.2, duration_s=1.0)
    return loaded(load, size, startup_timeout_s=timeout_s)


def loaded(load: Load, size: int = SIZE, **changed: Any) -> Workload:
    """What a job with this load asks of a trial."""
    payload = payload_for((INPUT.model_copy(update={"shape": (1, size)}),), seed=0)
    made = ordered(Job(load=load, limits=changed.pop("limits", Limits())), Sent(single(payload)))
    return replace(made, **changed)


@dataclass
class Remembering:
    """The local provider, and what it deployed last."""

    deployed: Deployment | None = None
    local: LocalProvider = field(default_factory=LocalProvider)
    name: str = "remembering"

    def refusal(self, instance: InstanceType) -> str | None:
        return self.local.refusal(instance)

    def fidelity(self, instance: InstanceType) -> Fidelity:
        return self.local.fidelity(instance)

    def notes(self, instance: InstanceType) -> tuple[str, ...]:
        return self.local.notes(instance)

    @contextmanager
    def deploy(self, order: Order) -> Iterator[Deployment]:
        with self.local.deploy(order) as deployed:
            self.deployed = deployed
            yield deployed


def test_a_trial_has_its_load_test_and_leaves_nothing_running(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    progress: list[LoadProgress] = []
    trial = run_trial(
        planned(instance()),
        model,
        workload(),
        provider=LocalProvider(),
        log=tmp_path / "log",
        on_load=lambda _, now: progress.append(now),
    )
    assert trial.failure is None
    (point,) = trial.points
    assert point.spec.users == 1
    assert point.samples > 0
    assert point.errors == 0
    assert point.server is not None
    assert progress
    assert trial.startup_s is not None
    assert trial.startup_s < trial.seconds
    assert trial.server_log_tail == ""
    assert not processes_naming(tmp_path)


@pytest.mark.slow
def test_each_step_of_stairs_is_a_load_level_and_a_rule_that_ended_them_is_noted(tmp_path: Path) -> None:
    load = Load.model_validate(
        {
            "stairs": {"steps": 9, "users_per_step": 1, "step_s": 1.5},
            "warmup_s": 0.2,
            "stop_when": ["requests>=5"],
        }
    )
    trial = run_trial(
        planned(instance()),
        write_model(tmp_path / "m.onnx"),
        loaded(load),
        provider=LocalProvider(),
        log=tmp_path / "log",
    )
    assert trial.failure is None
    users = [point.spec.users for point in trial.points]
    assert users == list(range(1, len(users) + 1))
    assert 1 <= len(users) < 9
    assert any("ended by requests>=5: " in note for note in trial.notes)


@dataclass
class Stubbed(Remembering):
    """Gives a server that is not of this package."""

    url: str = ""
    pid: int = 0

    @contextmanager
    def deploy(self, order: Order) -> Iterator[Deployment]:  # noqa: ARG002 - a provider's signature
        yield StubDeployment(self.url, ProcessTree(self.pid))


@dataclass(frozen=True)
class StubDeployment:
    url: str
    usage: ProcessTree | None
    generator: Workers = ALONE
    startup_s: float = 0.0
    notes: tuple[str, ...] = ()
    cores: tuple[int, ...] = ()
    pausing: None = None

    state: State = SERVING


def test_no_level_meets_the_queue_that_the_one_before_it_left(tmp_path: Path) -> None:
    # 40 ms each, one at a time: 150 requests a second leave a queue of many seconds, 5 a second find none.
    rates = {"rate_rps": [150, 5], "arrival": "constant", "min_samples": 0}
    load = Load.model_validate({**rates, "warmup_s": 0.2, "duration_s": 1.5, "timeout_s": 1})
    with stub_server(tmp_path, "--service-ms", "40", "--one-at-a-time") as server:
        trial = run_trial(
            planned(instance()),
            tmp_path / "m.onnx",
            loaded(load),
            provider=Stubbed(url=server.url, pid=server.pid),
            log=tmp_path / "log",
        )
    assert trial.failure is None
    after = trial.points[-1]
    assert after.spec.rate_rps == 5
    assert after.errors == 0


def test_a_server_that_dies_while_loaded_makes_a_failed_trial_that_says_so(tmp_path: Path) -> None:
    model, provider = write_model(tmp_path / "m.onnx"), Remembering()

    def kill(spec: LoadSpec, _: LoadProgress) -> None:
        if spec.users == 2:
            assert provider.deployed is not None
            assert provider.deployed.usage is not None
            os.kill(provider.deployed.usage.pid, signal.SIGKILL)

    trial = run_trial(
        planned(instance()), model, workload((1, 2)), provider=provider, log=tmp_path / "log", on_load=kill
    )
    assert trial.failure is not None
    assert trial.failure.startswith("the server was killed by signal 9")
    assert trial.failure.endswith("(while loaded with 2 users)")
    assert [point.spec.users for point in trial.points] == [1]  # what was measured before stays
    assert "serving http://127.0.0.1" in trial.server_log_tail
    assert not processes_naming(tmp_path)


def test_a_server_that_never_starts_makes_a_failed_trial_with_its_last_lines(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("no model")
    trial = run_trial(planned(instance()), broken, workload(), provider=LocalProvider(), log=tmp_path / "log")
    assert trial.failure is not None
    assert trial.failure.startswith("never got ready: the server ended with exit status 2")
    assert "broken.onnx" in trial.server_log_tail
    assert (trial.points, trial.startup_s) == ((), None)


def test_requests_that_all_fail_make_a_failed_trial_with_the_first_answer(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    trial = run_trial(
        planned(instance()),
        model,
        workload(size=SIZE + 1),
        provider=LocalProvider(),
        log=tmp_path / "log",
    )
    assert trial.failure is not None
    assert trial.failure.startswith("not measured with 1 user: no request to ")
    assert "HTTP 4" in trial.failure


def test_a_search_keeps_each_of_its_load_tests_and_says_where_batches_were_not_made(tmp_path: Path) -> None:
    load = Load.model_validate(
        {
            "find_rate": {"start_rps": 40, "precision": 1, "max_tests": 2},
            "warmup_s": 0.2,
            "duration_s": 0.5,
            "max_duration_s": 3,
        }
    )
    chosen = planned(instance())
    batching = chosen.candidate.settings.model_copy(update={"max_batch": 4})
    candidate = chosen.candidate.model_copy(update={"settings": batching})
    what = loaded(load, limits=Limits(p50_ms=5000, error_rate=0.5))
    trial = run_trial(
        replace(chosen, candidate=candidate),
        write_model(tmp_path / "m.onnx"),
        what,
        provider=LocalProvider(),
        log=tmp_path / "log",
    )
    assert trial.failure is None
    assert trial.search is not None
    assert trial.search.began == "the job says so"
    rates = [step.rate_rps for step in trial.search.steps]
    assert rates[0] == 40
    assert 2 <= len(rates) <= 3  # as many as the job allows, and one that confirms what they found
    assert [point.spec.rate_rps for point in trial.points] == rates
    assert any(
        "its requests were not joined, whatever max_batch says: 'x' has the" in w for w in trial.warnings
    )
    assert trial.compiled_with == {}


def test_a_void_test_of_a_level_is_repeated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = {"invalid_reasons": ("requests were sent late",)}
    void, valid = point(50).model_copy(update=late), point(100)
    left: list[LoadResult] = []

    def run_load(spec: LoadSpec, *_: object, **__: object) -> LoadResult:
        return left.pop(0).model_copy(update={"spec": spec})

    monkeypatch.setattr(measured_trial, "run_load", run_load)
    monkeypatch.setattr(measured_trial, "Idle", lambda *_, **__: str)

    def measured(*results: LoadResult) -> list[tuple[float, bool]]:
        left[:] = results
        found = run_trial(
            planned(instance()),
            tmp_path / "m.onnx",
            loaded(Load.model_validate({"rate_rps": [5]})),
            provider=Stubbed(url="http://127.0.0.1:1/invocations", pid=0),
            log=tmp_path / "log",
        )
        return [(each.throughput_rps.value, each.valid) for each in found.points]

    assert measured(void, valid) == [(100, True)]
    assert measured(void, void, valid) == [(50, False)]
    assert measured(valid, void) == [(100, True)]
