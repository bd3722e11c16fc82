"""A compiled artifact behind the same server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from modeldyno.base.errors import ArtifactError
from modeldyno.base.process import procs
from tests.serving import models
from tests.serving.helpers import JSON, NPY, RAW, Server, from_npy, npy, serving
from tests.serving.models import loaded

X = np.eye(4, dtype=np.float32)[:2]  # picks the first two rows of WEIGHTS


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    model = models.matmul(folder / "m.onnx")
    command = procs.python_module(
        "modeldyno", "compile", str(model), "--shape", "x=2,4", "-o", str(folder / "artifact")
    )
    subprocess.run(command, check=True, capture_output=True)
    return folder / "artifact"


@pytest.fixture(scope="module")
def server(artifact: Path) -> Iterator[Server]:
    flags = ("--workers", "2", "--threads", "2", "--max-batch", "4")
    with serving(artifact, artifact.parent, *flags) as running:
        yield running


def test_an_artifact_answers_every_content_type(server: Server) -> None:
    in_json = server.infer(json.dumps({"inputs": X.tolist()}), JSON).json()
    np.testing.assert_allclose(in_json["outputs"]["y"], models.WEIGHTS[:2], rtol=1e-6)
    for body, kind in ((npy(X), NPY), (X.tobytes(), RAW)):
        y = from_npy(server.infer(body, kind, accept=NPY).body)
        np.testing.assert_allclose(y, models.WEIGHTS[:2], rtol=1e-6)


def test_two_workers_answer_many_clients_with_their_own_numbers(server: Server) -> None:
    def ask(number: int) -> bool:
        y = from_npy(server.infer(npy(number * X), NPY).body)
        return np.allclose(y, number * models.WEIGHTS[:2])

    with ThreadPoolExecutor(4) as clients:
        assert all(clients.map(ask, range(40)))
    assert psutil.Process(server.child.pid).num_threads() >= 5  # main, 2 workers, and one more for each


def test_processes_share_one_copy_of_the_weights(artifact: Path, tmp_path: Path) -> None:
    """The proportional share of pages that two processes have in common is half of what each holds."""
    with serving(artifact, tmp_path, "--processes", "2") as server:
        for worker in psutil.Process(server.child.pid).children():
            maps = [each for each in worker.memory_maps() if each.path.endswith("weights.bin")]
            held, share = sum(each.rss for each in maps), sum(each.pss for each in maps)
            assert held >= models.WEIGHTS.nbytes
            assert share <= held * 0.55


def test_it_says_that_it_is_compiled(server: Server) -> None:
    found = server.ask("GET", "/v2/models/model").json()
    assert (found["platform"], found["inputs"][0]["shape"]) == ("modeldyno_artifact", [2, 4])
    assert "loaded with backend compiled" in server.child.log.read_text()


def test_a_compiled_shape_is_fixed_so_requests_are_not_joined_and_it_says_so(server: Server) -> None:
    assert "no batching: 'x' has the fixed shape (2, 4)\n" in server.child.log.read_text()


def test_a_wrong_shape_is_refused(server: Server) -> None:
    reply = server.infer(npy(X[:1]), NPY)
    assert (reply.status, "expected float32 of shape (2, 4)" in reply.error) == (400, True)


def test_a_damaged_artifact_is_refused(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes((artifact / "manifest.json").read_bytes())
    (tmp_path / "model.so").write_bytes((artifact / "model.so").read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"model\.so is damaged"):
        loaded(tmp_path, 1)
