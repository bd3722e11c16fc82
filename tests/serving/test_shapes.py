"""An artifact of several shapes behind the server, and the load generator before it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.process import procs
from modeldyno.compiler import compile_model
from modeldyno.compiler.artifact.manifests import write_manifest
from modeldyno.compiler.options import Options
from modeldyno.loadgen.server.signature import fetch_signature, payload_from_server
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.origin import Independence
from modeldyno.serving.dispatch.batch_check import decide, why_not_joined
from tests.bucketed import numbers, source
from tests.compiler.models import counted, saved
from tests.serving import models
from tests.serving.helpers import NPY, STARTS_WITHIN_S, Server, from_npy, npy, serving, start, wait_until
from tests.serving.models import loaded, verdict_of


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = x @ WEIGHTS for 1 to 4 rows and, in several runs, more."""
    folder = tmp_path_factory.mktemp("compiled")
    model = models.matmul(folder / "m.onnx")
    shape = ("--shape", "x=1..4@2|4,4")
    command = procs.python_module("modeldyno", "compile", str(model), *shape, "-o", str(folder / "artifact"))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "N (x[0]): 1 to 4, and more in several runs; compiled for 2, 4" in done.stdout
    return folder / "artifact"


@pytest.fixture(scope="module")
def server(artifact: Path) -> Iterator[Server]:
    with serving(artifact, artifact.parent, "--max-batch", "16", "--workers", "2") as running:
        yield running


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)


def test_every_number_of_rows_is_answered_and_others_are_refused(server: Server) -> None:
    for count in (1, 2, 3, 4, 5, 11):
        reply = server.infer(npy(rows(count)), NPY, accept=NPY)
        np.testing.assert_allclose(from_npy(reply.body), rows(count) @ models.WEIGHTS, rtol=1e-5, atol=1e-6)
    reply = server.infer(npy(rows(0)), NPY)
    assert reply.status == 400
    assert "this artifact takes 1 to 4, and more in several runs" in reply.error


def test_many_clients_of_many_sizes_get_their_own_rows(server: Server) -> None:
    def ask(number: int) -> bool:
        given = rows(1 + number % 7)
        found = from_npy(server.infer(npy(given), NPY, accept=NPY).body)
        return bool(np.allclose(found, given @ models.WEIGHTS, rtol=1e-5, atol=1e-6))

    with ThreadPoolExecutor(8) as clients:
        assert all(clients.map(ask, range(60)))


def test_the_signature_tells_the_range_and_payloads_take_its_smallest_size_or_a_stated_one(
    server: Server,
) -> None:
    url = f"http://127.0.0.1:{server.port}/invocations"
    (spec,) = fetch_signature(url)
    assert (spec.shape, spec.limits, spec.smallest) == ((None, 4), ((1, 4), None), (1, 4))
    for shapes, count in (({}, 1), ({"x": (3, 4)}, 3), ({"x": (9, 4)}, 9)):
        body = payload_from_server(url, 0, shapes).body
        assert from_npy(server.infer(body, NPY, accept=NPY).body).shape == (count, 3)
    with pytest.raises(ConfigError, match=r"`shapes` x=3,5: the input's shape is \[any, 4\]"):
        payload_from_server(url, 0, {"x": (3, 5)})
    with pytest.raises(ConfigError, match="`shapes` z: no such input; the inputs are: x"):
        payload_from_server(url, 0, {"z": (3, 5)})


def test_requests_are_joined_up_to_the_limit_and_best_in_the_buckets_sizes(server: Server) -> None:
    log = server.child.log.read_text()
    assert "batching: up to 16 rows, best 2,4, a delay" in log
    assert "rows are independent: proved by its graph\n" in log


def test_an_artifact_that_says_nothing_of_its_rows_counts_as_unproved(artifact: Path, tmp_path: Path) -> None:
    assert verdict_of(artifact).proved
    copy = shutil.copytree(artifact, tmp_path / "copy")
    write_manifest(copy, read_manifest(copy).model_copy(update={"rows_independent": Independence()}))
    found = decide(loaded(copy), verdict_of(copy), given=False)
    assert "that rows are independent is unproved: nobody looked at its graph" in found.refusal


def test_each_bucket_is_warm_before_the_server_listens(server: Server) -> None:
    log = server.child.log.read_text()
    assert "first inference in each of 2 compiled shapes in" in log
    assert log.index("first inference in each") < log.index("http://")


def test_a_damaged_bucket_ends_the_server_before_it_is_ready(artifact: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact, tmp_path / "copy")
    shutil.copy(copy / "buckets/2/manifest.json", copy / "buckets/4/manifest.json")  # seen when it is loaded
    for flags in ((), ("--processes", "2")):
        with start(copy, tmp_path, *flags) as child:
            wait_until(lambda: child.returncode() is not None, STARTS_WITHIN_S)
            assert child.returncode() == 2
            assert "buckets/4 belongs to another artifact" in child.log_tail()
            assert "Traceback" not in child.log.read_text()
        assert not (tmp_path / "port").exists()


def test_a_range_with_parts_in_onnx_runtime_is_served(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", counted())
    shapes, options = {"x": ("1..3@1|3", 6, 6, 8)}, Options(fallback="onnxruntime")
    compile_model(path, tmp_path / "artifact", shapes=shapes, options=options)
    with serving(tmp_path / "artifact", tmp_path, "--processes", "2", "--max-batch", "8") as running:
        log = running.child.log.read_text()
        assert "first inference in each of 2 compiled shapes in" in log
        assert "best 1,3" in log
        for count in (1, 2, 3, 7):
            found = from_npy(running.infer(npy(numbers(count)["x"]), NPY, accept=NPY).body)
            expected = source(path)(numbers(count))["y"]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        refused = running.infer(npy(numbers(1)["x"][:, :5]), NPY)
        assert refused.status == 400


def test_exact_sizes_are_joined_only_as_far_as_every_number_is_among_them(tmp_path: Path) -> None:
    compile_model(models.matmul(tmp_path / "m.onnx"), tmp_path / "artifact", shapes={"x": ("1|2|4", 4)})
    backend = loaded(tmp_path / "artifact")
    assert (backend.signature.most_rows, why_not_joined(backend)) == (2, None)
    compile_model(tmp_path / "m.onnx", tmp_path / "artifact", shapes={"x": ("1|4", 4)})
    backend = loaded(tmp_path / "artifact")
    assert backend.signature.most_rows == 1
    assert "takes exactly 1 or 4" in str(why_not_joined(backend))
