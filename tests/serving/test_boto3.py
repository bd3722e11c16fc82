"""boto3's client of SageMaker endpoints, as it comes from its package, against a real server process."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.serving import models
from tests.serving.gate import Gate, body, connect, post
from tests.serving.helpers import JSON, NPY, Server, npy, serving, wait_until

X = np.eye(4, dtype=np.float32)
SCRIPT = """
def model_fn(folder): return None
def input_fn(body, kind): return body
def predict_fn(data, model):
    if data == '"not found"':
        error = KeyError("no such key"); error.status_code = 404
        raise error
    if data == '"fails"':
        raise ValueError("it fails")
    return {"said": data}
"""


def client_of(port: int) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",  # noqa: S106 - no secret: the server asks for none
        config=Config(retries={"max_attempts": 0}),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("boto3")
    flags = ("--model-name", "mat-mul", "--max-body-mib", "1")
    with serving(models.matmul(folder / "m.onnx"), folder, *flags) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    client = client_of(server.port)
    yield client
    client.close()


def error_of(client: Any, endpoint: str = "mat-mul", **given: Any) -> dict[str, Any]:
    """What boto3 tells of a call that fails, and the name of the exception's class."""
    sent = {"Body": npy(X), "ContentType": NPY, **given}
    with pytest.raises(ClientError) as caught:
        client.invoke_endpoint(EndpointName=endpoint, **sent)
    told: dict[str, Any] = caught.value.response
    assert told["Error"]["Message"]
    return {
        **told,
        "class": type(caught.value).__name__,
        "status": told["ResponseMetadata"]["HTTPStatusCode"],
    }


def test_an_endpoint_is_invoked_in_json_and_in_npy_as_asked(client: Any) -> None:
    found = client.invoke_endpoint(
        EndpointName="mat-mul", Body=json.dumps({"inputs": X.tolist()}), ContentType=JSON, Accept=NPY
    )
    assert (found["ContentType"], found["InvokedProductionVariant"]) == (NPY, "AllTraffic")
    np.testing.assert_array_equal(np.load(io.BytesIO(found["Body"].read())), models.WEIGHTS)
    assert found["ResponseMetadata"]["RequestId"]
    back = client.invoke_endpoint(EndpointName="mat-mul", Body=npy(X), ContentType=NPY, Accept=JSON)
    assert json.loads(back["Body"].read())["outputs"]["y"] == models.WEIGHTS.tolist()


def test_what_the_caller_adds_comes_back_and_the_only_model_and_variant_may_be_named(client: Any) -> None:
    found = client.invoke_endpoint(
        EndpointName="mat-mul",
        Body=npy(X),
        ContentType=NPY,
        CustomAttributes="trace=7",
        InferenceId="one",
        TargetModel="mat-mul",
        TargetVariant="AllTraffic",
    )
    assert found["CustomAttributes"] == "trace=7"
    assert found["ResponseMetadata"]["HTTPHeaders"]["x-amzn-sagemaker-inference-id"] == "one"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"TargetModel": "other"}, "this endpoint has one model, mat-mul: found 'other'"),
        ({"TargetVariant": "blue"}, "this endpoint has one variant, AllTraffic: found 'blue'"),
        ({"TargetContainerHostname": "second"}, "one container"),
        ({"InferenceComponentName": "part"}, "no inference components"),
        ({"SessionId": "NEW_SESSION"}, "no state between requests"),
        ({"EnableExplanations": "`true`"}, "no explainer"),
        ({"CustomAttributes": "a" * 1025}, "1024 characters at most"),
        ({"InferenceId": "a" * 65}, "64 characters at most"),
    ],
)
def test_what_the_endpoint_has_not_is_a_validation_error(client: Any, given: Any, words: str) -> None:
    told = error_of(client, **given)
    assert (told["class"], told["status"]) == ("ValidationError", 400)
    assert told["Error"]["Message"].startswith(f"{next(iter(given))}: ")
    assert words in told["Error"]["Message"]


def test_an_unknown_endpoint_and_a_body_that_is_too_long_are_validation_errors(client: Any) -> None:
    told = error_of(client, "other")
    assert (told["class"], told["status"]) == ("ValidationError", 400)
    assert told["Error"]["Message"] == "Endpoint other not found: this server has mat-mul"
    told = error_of(client, Body=bytes(1 << 21))
    assert (told["class"], told["status"]) == ("ValidationError", 413)


def test_a_request_that_the_model_refuses_is_a_model_error_with_what_it_said(client: Any) -> None:
    told = error_of(client, Body=b"no array")
    assert (told["class"], told["status"], told["OriginalStatusCode"]) == ("ModelError", 424, 400)
    assert "npy" in json.loads(told["OriginalMessage"])["error"]
    assert told["Error"]["Message"].startswith('Received client error (400) from primary with message "{')
    assert error_of(client, ContentType="text/none")["OriginalStatusCode"] == 415


def test_streams_and_requests_for_later_are_refused_with_what_to_call(client: Any) -> None:
    with pytest.raises(ClientError, match="not streamed here: call invoke_endpoint") as caught:
        client.invoke_endpoint_with_response_stream(EndpointName="mat-mul", Body=b"")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="not kept for later here: call invoke_endpoint"):
        client.invoke_endpoint_async(EndpointName="mat-mul", InputLocation="s3://a/b")


def test_errors_of_user_code_keep_their_status_beside_the_apis(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(SCRIPT)
    with serving(tmp_path, tmp_path) as server:
        client = client_of(server.port)
        found = client.invoke_endpoint(EndpointName="model", Body='"a"', ContentType=JSON)
        assert json.loads(found["Body"].read()) == {"said": '"a"'}
        told = error_of(client, "model", Body='"not found"', ContentType=JSON)
        assert (told["class"], told["OriginalStatusCode"]) == ("ModelError", 404)
        told = error_of(client, "model", Body='"fails"', ContentType=JSON)
        assert (told["class"], told["status"], told["OriginalStatusCode"]) == ("ModelError", 424, 500)
        assert "server error (500)" in told["Error"]["Message"]
        assert "it fails" in told["OriginalMessage"]
        client.close()


def test_a_full_queue_is_service_unavailable_and_a_deadline_a_model_error(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    with serving(gate.folder, tmp_path, "--max-waiting", "0", "--timeout-ms", "20000") as server:
        client = client_of(server.port)
        with connect(server.port) as first:
            first.sendall(post(body("a", "open")))
            wait_until(lambda: gate.run() == ["a"], 30)
            told = error_of(client, "model", Body=body("b"), ContentType=JSON)
            assert (told["class"], told["status"]) == ("ServiceUnavailable", 503)
            gate.open("open")
        client.close()
    late = tmp_path / "late"
    gate = Gate(late)
    with serving(gate.folder, late, "--timeout-ms", "50") as server:
        client = client_of(server.port)
        told = error_of(client, "model", Body=body("c", "never"), ContentType=JSON)
        assert (told["class"], told["OriginalStatusCode"]) == ("ModelError", 0)
        assert "timed out while waiting for a response from container primary" in told["Error"]["Message"]
        gate.open("never")
        client.close()
