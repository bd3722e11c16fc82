"""Several models by name in one server: each with workers and a queue of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.process import procs
from modeldyno.base.settings import from_json
from modeldyno.loadgen.server.signature import why_not_joined
from modeldyno.serving.server import serve
from modeldyno.serving.settings import NamedModel, ServeSettings
from tests.serving import models
from tests.serving.gate import Gate, body, connect, post
from tests.serving.helpers import JSON, NPY, Server, from_npy, npy, serving, wait_for_port, wait_until
from tests.serving.test_app import counts

X = np.eye(4, dtype=np.float32)
ENTRY = """
import sys
from modeldyno.base.settings import from_json
from modeldyno.serving.server import serve
from modeldyno.serving.settings import ServeSettings

serve(from_json(ServeSettings, sys.argv[1]))
"""

ANOTHER_PROTOCOL = """
import numpy as np
from modeldyno.serving.process import host
from modeldyno.serving.protocols.base import Description, Infer
from modeldyno.serving.wire.answer import Answer


class Row:
    timeout_s = None

    def __init__(self, feeds):
        self.feeds = feeds

    def answer(self, outputs):
        return Answer(200, b" ".join(b"%g" % number for number in outputs["y"][0]), "text/plain")


class Rows:
    def server_routes(self):
        return {}

    def routes(self, model):
        return {f"/rows/{model.name}": Infer()}

    def read(self, model, name, headers, body, max_bytes):
        return Row({"x": np.array([body.split()], np.float32)})

    def dress(self, headers, answer):
        return answer

    def describe_server(self):
        return Description({})

    def describe(self, model):
        return Description({f"/rows/{model.name}": {}})

    def why_unknown(self, path, names):
        return None


host.PROTOCOLS = (*host.PROTOCOLS, Rows())
"""


@contextmanager
def serving_settings(settings: ServeSettings, folder: Path, before: str = "") -> Iterator[Server]:
    """A real server of these settings; no flag of the command has several models yet."""
    args = [sys.executable, "-c", before + ENTRY, json.dumps(asdict(settings), default=str)]
    with procs.start(args, log=folder / "server.log") as child:
        assert settings.port_file is not None
        yield Server(child, wait_for_port(child, settings.port_file))


def settings_of(folder: Path, first: Path, **more: object) -> ServeSettings:
    values = {"model_name": "one", "port": 0, "port_file": folder / "port", "threads": 1, **more}
    return ServeSettings(path=first, **values)  # type: ignore[arg-type]


def infer(server: Server, model: str, x: np.ndarray) -> list[list[float]]:
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
    reply = server.ask("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}))
    assert reply.status == 200, reply.body
    found = reply.json()
    assert found["model_name"] == model
    (output,) = found["outputs"]
    return np.array(output["data"]).reshape(output["shape"]).tolist()


@pytest.mark.parametrize("processes", [1, 2])
def test_two_models_answer_by_their_names_and_invocations_go_to_the_first(
    tmp_path: Path, processes: int
) -> None:
    two = NamedModel("two", models.relu(tmp_path / "two.onnx"))
    settings = settings_of(
        tmp_path, models.matmul(tmp_path / "one.onnx"), more_models=(two,), max_batch=4, processes=processes
    )
    with serving_settings(settings, tmp_path) as server:
        assert infer(server, "one", X) == models.WEIGHTS.tolist()
        assert infer(server, "two", X[:1] - 1) == [[0, 0, 0, 0]]
        np.testing.assert_array_equal(from_npy(server.infer(npy(X), NPY).body), models.WEIGHTS)
        told = {name: server.ask("GET", f"/v2/models/{name}").json() for name in ("one", "two")}
        assert {name: found["inputs"][0]["shape"] for name, found in told.items()} == {
            "one": [-1, 4],
            "two": [1, 4],
        }
        assert told["one"]["parameters"]["batching"]["max_rows"] == 4
        assert told["two"]["parameters"]["batching"] == {
            "max_rows": 1,
            "refusal": "'x' has the fixed shape (1, 4)",
        }
        assert server.ask("GET", "/v2/models/two/versions/1/ready").json() == {"name": "two", "ready": True}
        assert server.ask("GET", "/v2/models/no").error == "no such model 'no'; there is 'one', 'two'"
        paths = server.ask("GET", "/openapi.json").json()["paths"]
        assert {"/invocations", "/v2/models/one/infer", "/v2/models/two/infer"} <= set(paths)
        shown = server.ask("GET", "/metrics").body.decode()
        assert all(f'model="{name}.onnx"' in shown for name in ("one", "two"))
        assert all(f'dyno_model_memory_bytes{{name="{name}"}}' in shown for name in ("one", "two"))


def test_a_model_whose_queue_is_full_keeps_nobody_from_another(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    two = NamedModel("two", models.matmul(tmp_path / "two.onnx"))
    settings = settings_of(tmp_path, gate.folder, more_models=(two,), max_waiting=0)
    with serving_settings(settings, tmp_path) as server, connect(server.port) as client:
        client.sendall(post(body("a", "open")))
        wait_until(lambda: gate.run() == ["a"], 30)
        assert server.infer(body("b"), JSON).status == 503
        assert infer(server, "two", X) == models.WEIGHTS.tolist()
        gate.open("open")
        wait_until(lambda: counts(server)["dyno_requests_total/200"] == 2, 30)


def test_a_protocol_is_added_by_its_contract_alone(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, models.matmul(tmp_path / "m.onnx"), max_batch=2)
    with serving_settings(settings, tmp_path, ANOTHER_PROTOCOL) as server:
        reply = server.ask("POST", "/rows/one", b"0 0 1 0")
        assert (reply.status, reply.body) == (200, b"0.75 0.875 1")
        assert "/rows/one" in server.ask("GET", "/openapi.json").json()["paths"]
        assert "/rows/one takes POST" in server.ask("GET", "/rows/one").error


def test_a_model_of_which_every_worker_is_late_is_not_ready_and_another_is(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    two = NamedModel("two", models.matmul(tmp_path / "two.onnx"))
    settings = settings_of(tmp_path, gate.folder, more_models=(two,), timeout_ms=50.0)
    with serving_settings(settings, tmp_path) as server:
        assert server.infer(body("a", "open"), JSON).status == 504
        wait_until(lambda: server.ask("GET", "/v2/models/one/ready").status == 503, 30)
        for path in ("/v2/models/two/ready", "/ping", "/v2/health/ready"):
            assert server.ask("GET", path).status == 200
        gate.open("open")
        wait_until(lambda: server.ask("GET", "/v2/models/one/ready").status == 200, 30)


def test_settings_go_to_a_worker_and_come_back_as_they_were(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path, tmp_path / "m", cpus=(0,), preferred_batch=(2,), more_models=(NamedModel("a", tmp_path),)
    )
    assert from_json(ServeSettings, json.dumps(asdict(settings), default=str)) == settings


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    path = models.relu(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="2 models have the name one"):
        serve(settings_of(tmp_path, path, more_models=(NamedModel("one", path),)))


def test_the_server_tells_why_it_joins_no_requests(tmp_path: Path) -> None:
    with serving(models.relu(tmp_path / "m.onnx"), tmp_path, "--max-batch", "4") as server:
        url = f"http://127.0.0.1:{server.port}/invocations"
        assert why_not_joined(url) == "'x' has the fixed shape (1, 4)"
