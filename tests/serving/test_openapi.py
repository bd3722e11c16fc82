"""The OpenAPI document: what it says is what the server does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from modeldyno.serving.models.base import Signature
from modeldyno.serving.protocols.base import ModelFacts
from modeldyno.serving.protocols.invocations import Invocations
from tests.serving import models
from tests.serving.helpers import JSON, Server, serving
from tests.serving.models import loaded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("openapi")
    with serving(models.pair(folder / "pair.onnx"), folder, "--model-name", "pair") as running:
        yield running


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.ask("GET", "/openapi.json").json()
    return found


def schema(operation: dict[str, Any]) -> tuple[Any, Any]:
    """Return the JSON schemas of the request and of the answer."""
    return (
        operation["requestBody"]["content"][JSON]["schema"],
        operation["responses"]["200"]["content"][JSON]["schema"],
    )


def fits(value: object, wanted: Any) -> bool:
    jsonschema.Draft202012Validator.check_schema(wanted)
    return bool(jsonschema.Draft202012Validator(wanted).is_valid(value))


def test_it_names_every_path_of_the_server_with_its_method(server: Server, document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    listed = server.ask("GET", "/nope").error.partition("there are ")[2].split(", ")
    assert set(document["paths"]) == set(listed)
    for path, methods in document["paths"].items():
        (method,) = methods
        other, allow = {"get": ("POST", "GET, HEAD, OPTIONS"), "post": ("GET", "POST, OPTIONS")}[method]
        assert server.ask(other, path).headers["allow"] == allow


def test_requests_and_answers_of_invocations_follow_their_schemas(
    server: Server, document: dict[str, Any]
) -> None:
    request, answer = schema(document["paths"]["/invocations"]["post"])
    good = {"inputs": {"a": [[1, 2, 3.5]] * 2, "ids": [1, 2, 3, 4], "keep": True}}
    assert fits(good, request)
    assert fits(server.infer(json.dumps(good), JSON).json(), answer)
    for name, value in (("a", [[1, 2]] * 2), ("ids", [1.5]), ("keep", 1)):
        bad = {"inputs": {**good["inputs"], name: value}}
        assert not fits(bad, request)
        assert server.infer(json.dumps(bad), JSON).status == 400


def test_requests_and_answers_of_infer_follow_their_schemas(server: Server, document: dict[str, Any]) -> None:
    path = "/v2/models/pair/infer"
    request, answer = schema(document["paths"][path]["post"])
    a = {"name": "a", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
    ids = {"name": "ids", "datatype": "INT64", "shape": [2], "data": [1, 2]}
    keep = {"name": "keep", "datatype": "BOOL", "shape": [], "data": [True]}
    good = {"id": "7", "inputs": [a, ids, keep], "outputs": [{"name": "over"}]}
    assert fits(good, request)
    assert fits(server.ask("POST", path, json.dumps(good)).json(), answer)
    for entry in ({**a, "shape": [3, 2]}, {**a, "datatype": "FP64"}, {**a, "name": "b"}):
        bad = {**good, "inputs": [entry, ids, keep]}
        assert not fits(bad, request)
        assert server.ask("POST", path, json.dumps(bad)).status == 400


def test_an_error_follows_its_schema(server: Server, document: dict[str, Any]) -> None:
    assert fits(server.infer(b"", JSON).json(), document["components"]["schemas"]["Error"])


def test_one_input_may_be_a_bare_list_and_user_code_takes_anything(tmp_path: Path) -> None:
    backend = loaded(models.matmul(tmp_path / "m.onnx"), 1)
    paths = Invocations().describe(ModelFacts("m", backend.signature)).paths
    request, _ = schema(paths["/invocations"]["post"])
    assert fits({"inputs": np.ones((2, 4)).tolist()}, request)
    assert not fits({"inputs": [1, 2, 3, 4]}, request)
    code = ModelFacts("m", Signature("user code", "python_inference_script"))
    content = Invocations().describe(code).paths["/invocations"]["post"]["requestBody"]["content"]
    assert content == {"*/*": {"schema": {}}}
