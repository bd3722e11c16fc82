"""The client of Triton, as it comes from its package, against a real server process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from modeldyno.serving.settings import NamedModel
from tests.serving import models
from tests.serving.helpers import Server, serving
from tests.serving.test_shelf import infer, serving_settings, settings_of

X = np.arange(8, dtype=np.float32).reshape(2, 4)
PAIR = {"a": np.ones((2, 3), np.float32), "ids": np.array([3, -2]), "keep": np.array(True)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pair")
    with serving(models.pair(folder / "pair.onnx"), folder, "--model-name", "pair") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


def inputs(*, binary: bool) -> list[triton.InferInput]:
    made = []
    for name, array in PAIR.items():
        made.append(triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        made[-1].set_data_from_numpy(array, binary_data=binary)
    return made


def test_it_finds_the_server_and_the_model_ready(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("pair")
    assert client.is_model_ready("pair", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "modeldyno"
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]


def test_it_reads_the_signature_and_the_configuration(client: triton.InferenceServerClient) -> None:
    metadata = client.get_model_metadata("pair", "1")
    assert (metadata["name"], metadata["versions"]) == ("pair", ["1"])
    assert metadata["outputs"][1] == {"name": "over", "datatype": "BOOL", "shape": [2, 3]}
    config = client.get_model_config("pair")
    assert config["input"][1] == {"name": "ids", "data_type": "TYPE_INT64", "dims": [-1]}


@pytest.mark.parametrize("sent_binary", [True, False])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_every_output_comes_back_whole(
    client: triton.InferenceServerClient, sent_binary: bool, packed: str | None
) -> None:
    result = client.infer(
        "pair", inputs(binary=sent_binary), request_id="r 1", request_compression_algorithm=packed
    )
    assert result.get_response()["id"] == "r 1"
    assert result.as_numpy("total").tolist() == [[2.0] * 3] * 2
    assert result.as_numpy("over").tolist() == [[True] * 3] * 2


def test_only_the_outputs_asked_for_come_each_in_its_own_way(client: triton.InferenceServerClient) -> None:
    wanted = [
        triton.InferRequestedOutput("over", binary_data=False),
        triton.InferRequestedOutput("total", binary_data=True),
    ]
    result = client.infer("pair", inputs(binary=True), model_version="1", outputs=wanted)
    over, total = result.get_response()["outputs"]
    assert (over["name"], over["data"], over["shape"]) == ("over", [True] * 6, [2, 3])
    assert total == {
        "name": "total",
        "datatype": "FP32",
        "shape": [2, 3],
        "parameters": {"binary_data_size": 24},
    }
    assert result.as_numpy("total").tolist() == [[2.0] * 3] * 2
    one = client.infer("pair", inputs(binary=True), outputs=wanted[:1])
    assert one.as_numpy("total") is None


def test_several_requests_at_once_get_their_own_answers(server: Server) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=4) as client:
        waiting = []
        for number in range(20):
            sent = inputs(binary=True)
            sent[0].set_data_from_numpy(np.full((2, 3), number, np.float32))
            waiting.append(client.async_infer("pair", sent))
        found = [int(answer.get_result().as_numpy("total")[0, 0]) for answer in waiting]
    assert found == [number + 1 for number in range(20)]


def test_an_error_is_told_with_its_status(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="expected the inputs a, ids, keep") as error:
        client.infer("pair", inputs(binary=True)[:1])
    assert error.value.status() == "400"
    with pytest.raises(InferenceServerException, match="no such model 'other'; there is 'pair'") as error:
        client.infer("other", inputs(binary=True))
    assert error.value.status() == "404"
    with pytest.raises(InferenceServerException, match="sequences are not supported"):
        client.infer("pair", inputs(binary=True), sequence_id=7)


def test_the_index_names_the_models_and_the_statistics_count_their_requests(
    client: triton.InferenceServerClient,
) -> None:
    ready = {"name": "pair", "version": "1", "state": "READY", "reason": ""}
    assert client.get_model_repository_index() == [ready]
    before = client.get_inference_statistics("pair", "1")["model_stats"][0]
    client.infer("pair", inputs(binary=True))
    client.infer("pair", inputs(binary=True))
    with pytest.raises(InferenceServerException):
        client.infer("pair", inputs(binary=True)[:1])
    (after,) = client.get_inference_statistics()["model_stats"]
    assert after == client.get_inference_statistics("pair")["model_stats"][0]
    grown = {
        name: after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"]
        for name in after["inference_stats"]
    }
    assert (grown["success"], grown["fail"], grown["queue"], grown["compute_infer"]) == (2, 1, 2, 2)
    assert after["inference_count"] - before["inference_count"] == 2
    assert after["execution_count"] - before["execution_count"] == 2
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert after["last_inference"] > 1.7e12  # milliseconds since 1970


def test_a_model_that_is_there_is_loaded_and_the_rest_is_refused_with_why(
    client: triton.InferenceServerClient,
) -> None:
    client.load_model("pair")
    refused = {
        "loaded with other parameters": lambda: client.load_model("pair", config="{}"),
        "no such model 'other'; there is 'pair'": lambda: client.load_model("other"),
        "nothing is unloaded": lambda: client.unload_model("pair"),
        "only '1'": lambda: client.get_model_metadata("pair", "2"),
        "requests are not traced": client.get_trace_settings,
        "logging has no settings": client.get_log_settings,
        "send the data in the body": lambda: client.register_system_shared_memory("r", "/r", 8),
    }
    for words, call in refused.items():
        with pytest.raises(InferenceServerException, match=words):
            call()
    assert client.get_system_shared_memory_status() == []
    client.unregister_cuda_shared_memory()
    assert client.is_model_ready("pair")


def test_statistics_are_of_each_model_and_of_all_processes(tmp_path: Path) -> None:
    two = NamedModel("two", models.relu(tmp_path / "two.onnx"))
    settings = settings_of(
        tmp_path, models.matmul(tmp_path / "one.onnx"), more_models=(two,), max_batch=4, processes=2
    )
    with serving_settings(settings, tmp_path) as server:
        for _ in range(3):  # of several connections, which processes share
            infer(server, "one", X)
        infer(server, "two", X[:1])
        counted = {
            each["name"]: (each["inference_count"], each["inference_stats"]["compute_infer"]["count"])
            for each in server.ask("GET", "/v2/models/stats").json()["model_stats"]
        }
        assert counted == {"one": (3, 3), "two": (1, 1)}
