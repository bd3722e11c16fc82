"""Indices of a request beyond the tensor, and whole numbers divided by zero, once ended a server or worse."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from modeldyno.base.errors import RequestError
from modeldyno.base.process import procs
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from modeldyno.runtime.tools.bundle import write_bundle
from modeldyno.serving.dispatch.batching import BatchLimits, Prepare, run_joined
from modeldyno.serving.wire.answer import NPY, Answer
from modeldyno.serving.wire.contents import TensorCall
from tests.compiler.guarded import CASES
from tests.compiler.models import model, node, saved, tensor, weights
from tests.serving.helpers import JSON, Server, serving
from tests.serving.models import loaded

WRITERS_AND_READERS = ("GatherND", "GatherElements", "ScatterElements", "ScatterND")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of a table, and a product: any number of rows up to four."""
    folder = tmp_path_factory.mktemp("lookup")
    made = model(
        [node("Gather", "table ids", "rows", name="lookup"), node("MatMul", "rows w", "y")],
        [tensor("ids", ["n", 3], TensorProto.INT64)],
        [tensor("y", ["n", 3, 2])],
        [weights("table", 5, 4), weights("w", 4, 2)],
    )
    compile_model(saved(folder / "m.onnx", made), folder / "artifact", shapes={"ids": ["1..4", 3]})
    return folder / "artifact"


@pytest.mark.parametrize("name", WRITERS_AND_READERS)
@pytest.mark.parametrize("number", [4, 10**9])
def test_nothing_is_read_or_written_elsewhere(name: str, number: int, tmp_path: Path) -> None:
    """In a process of its own, which writing elsewhere could end, or spoil unseen."""
    case = CASES[name]
    onnx.save(case.model(), tmp_path / "m.onnx")
    compile_model(tmp_path / "m.onnx", tmp_path / "out", options=Options(verify=False))
    inputs = []
    for key, array in case.feeds(number).items():
        np.save(tmp_path / f"{key}.npy", array)
        inputs += ["--input", f"{key}={tmp_path / key}.npy"]
    done = subprocess.run(
        procs.python_module("modeldyno", "run", str(tmp_path / "out"), *inputs, "--repeat", "1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{case.operator} 'lookup': its input 'i' holds {number}" in done.stderr


@pytest.fixture(scope="module")
def server(artifact: Path) -> Iterator[Server]:
    flags = ("--max-batch", "4", "--batch-delay-ms", "200", "--processes", "2")
    with serving(artifact, artifact.parent, *flags) as running:
        yield running


def test_a_server_answers_400_and_goes_on(server: Server) -> None:
    def ask(*ids: int) -> tuple[int, str]:
        reply = server.infer(json.dumps({"inputs": [list(ids)]}), JSON)
        return reply.status, reply.body.decode()

    good = ask(0, 4, -1)
    assert good[0] == 200
    for number in (5, -6, 10**9):
        status, said = ask(0, number, 1)
        assert (status, "lookup" in said, f"holds {number} at [0, 1]" in said) == (400, True, True)
    assert ask(0, 4, -1) == good
    assert server.child.returncode() is None


def test_of_joined_requests_only_the_guilty_one_is_refused(artifact: Path) -> None:
    def prepared(*ids: int) -> Prepare:
        feeds = {"ids": np.array([ids])}
        return lambda backend: TensorCall(feeds, "", NPY, backend.signature.outputs)

    backend, rows = loaded(artifact, 1), []
    limits = BatchLimits(4)
    asked = [prepared(0, 1, 2), prepared(0, 5, 2), prepared(-5, 4, 3)]
    results = run_joined(backend, asked, limits, lambda count, _seconds: rows.append(count))
    assert [type(result) for result in results] == [Answer, RequestError, Answer]
    assert (results[1].status, "holds 5 at [0, 1]" in str(results[1])) == (400, True)  # type: ignore[union-attr]
    alone = run_joined(backend, asked[2:], limits, lambda *_: None)
    assert results[2].body == alone[0].body  # type: ignore[union-attr]


def test_of_a_request_that_is_split_the_rows_are_told(artifact: Path) -> None:
    ids = np.zeros((6, 3), np.int64)
    ids[5, 2] = 5
    with pytest.raises(RequestError, match=r"in the rows from 4 on: Gather 'lookup'.*holds 5 at \[1, 2\]"):
        open_session(artifact, threads=1).run({"ids": ids})


def test_a_bundle_refuses_too(artifact: Path, tmp_path: Path) -> None:
    write_bundle(artifact, tmp_path / "app.tar.gz")
    with tarfile.open(tmp_path / "app.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    np.save(tmp_path / "ids.npy", np.array([[0, 4, 10**9]]))
    command = [sys.executable, "-I", str(tmp_path / "app" / "run.py"), "--input", str(tmp_path / "ids.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "'ids' holds 1000000000 at [0, 2]" in done.stderr) == (2, True), done.stderr


def test_a_compiled_segment_refuses_too(tmp_path: Path) -> None:
    """Beside determinants, which run in ONNX Runtime."""
    made = model(
        [node("Gather", "x ids", "rows", name="lookup"), node("Det", "rows", "y")],
        [tensor("x", [5, 2, 2]), tensor("ids", [2], TensorProto.INT64)],
        [tensor("y", [2])],
    )
    compile_model(saved(tmp_path / "m.onnx", made), tmp_path / "out", options=Options(fallback="onnxruntime"))
    session, x = open_session(tmp_path / "out", threads=1), np.ones((5, 2, 2), np.float32)
    session.run({"x": x, "ids": np.array([-5, 4])})
    with pytest.raises(RequestError, match=r"Gather 'lookup': its input 'ids' holds 5 at \[1\]"):
        session.run({"x": x, "ids": np.array([0, 5])})
    session.run({"x": x, "ids": np.array([0, 4])})


def test_threads_side_by_side_hear_of_their_own_requests_only(artifact: Path) -> None:
    session = open_session(artifact, threads=1)

    def refused(number: int) -> bool:
        try:
            session.run({"ids": np.array([[0, 5 if number % 2 else 4, 1]])})
        except RequestError:
            return True
        return False

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(refused, range(200))) == [bool(number % 2) for number in range(200)]
