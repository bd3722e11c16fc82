"""The application without a process: which service answers, errors as clients read them, random requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from modeldyno.hosting.application import Application
from modeldyno.hosting.control.operations import OPERATIONS
from modeldyno.hosting.wire.service_models import operation
from tests.hosting.running import ROLE, application, ask
from tests.hosting.test_validation import JSON

TARGETS = {"sagemaker": "SageMaker", "logs": "Logs_20140328", "cloudwatch": "GraniteServiceVersion20100801"}
# As boto3 1.34 sent it.
OLD_ALARMS = (
    b"Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1=one&AlarmNames.member.2=two&MaxRecords=10"
)
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with application(tmp_path_factory.mktemp("state")) as made:
        yield made


def call(app: Application, service: str, name: str, given: object) -> tuple[int, dict[str, object]]:
    headers = {"x-amz-target": f"{TARGETS[service]}.{name}"}
    status, _, body = ask(app, "POST", "/", headers, json.dumps(given).encode())
    return status, json.loads(body) if body else {}


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("SageMaker.NoSuch", "UnknownOperationException"),
        ("SageMaker.ListTrainingJobs", "UnknownOperationException"),
        ("Nobody_1.Op", "UnknownOperationException"),
        ("SageMaker.", "UnknownOperationException"),
        ("SageMaker.__class__", "UnknownOperationException"),
    ],
)
def test_an_operation_that_is_not_done_is_an_error_in_json(app: Application, target: str, code: str) -> None:
    status, headers, body = ask(app, "POST", "/", {"x-amz-target": target}, b"{}")
    assert (status, json.loads(body)["__type"]) == (400, code)
    assert headers["x-amzn-errortype"] == code
    assert target.partition(".")[2] in json.loads(body)["message"]


def test_errors_are_read_by_the_parser_of_each_protocol(app: Application) -> None:
    def parsed(protocol: str, service: str, name: str, answer: tuple[int, object, bytes]) -> object:
        status, headers, body = answer
        response = {"status_code": status, "headers": headers, "body": body}
        return create_parser(protocol).parse(response, operation(service, name).output_shape)["Error"]["Code"]

    asked = ask(app, "POST", "/", {"x-amz-target": "SageMaker.DescribeModel"}, b'{"ModelName":"a"}')
    assert parsed("json", "sagemaker", "DescribeModel", asked) == "ValidationException"
    asked = ask(app, "POST", "/", FORM, b"Action=AssumeRole&Version=2011-06-15")
    assert parsed("query", "sts", "AssumeRole", asked) == "UnknownOperationException"
    asked = ask(app, "GET", "/nothing-here/key")
    assert parsed("rest-xml", "s3", "GetObject", asked) == "NoSuchBucket"
    asked = ask(app, "POST", "/endpoints/none/invocations", {}, b"x")
    assert parsed("rest-json", "sagemaker-runtime", "InvokeEndpoint", asked) == "ValidationError"


def test_old_clients_of_cloudwatch_are_understood_as_new_ones_are(app: Application) -> None:
    old = ask(app, "POST", "/", FORM, OLD_ALARMS)
    assert (old[0], b"<Code>UnknownOperationException</Code>" in old[2]) == (400, True)
    assert b"cloudwatch DescribeAlarms" in old[2]
    assert "cloudwatch DescribeAlarms" in str(call(app, "cloudwatch", "DescribeAlarms", {})[1]["message"])


def test_a_body_that_is_too_large_is_refused_with_its_code(app: Application) -> None:
    status, _, body = ask(app, "POST", "/endpoints/none/invocations", {}, bytes(26_214_401))
    assert (status, json.loads(body)["__type"]) == (413, "ValidationError")
    assert ask(app, "POST", "/", {"x-amz-target": "SageMaker.ListModels"}, bytes(9_000_000))[0] == 413


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"a":NaN}', b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_object_in_json_is_a_serialization_error(app: Application, body: bytes) -> None:
    status, _, answer = ask(app, "POST", "/", {"x-amz-target": "SageMaker.ListModels"}, body)
    assert (status, json.loads(answer)["__type"]) == (400, "SerializationException")


def test_a_full_disk_is_named(app: Application) -> None:
    ask(app, "PUT", "/full-disk")
    ask(app, "PUT", "/full-disk/old", {}, b"x")
    with patch("os.statvfs", return_value=SimpleNamespace(f_bavail=1000, f_frsize=4096)):
        status, _, body = ask(app, "PUT", "/full-disk/key", {}, b"x")
        assert ask(app, "DELETE", "/full-disk/old")[0] == 204
    assert status == 507
    assert str(app.database.folder.resolve()) in body.decode()


def test_a_browser_sees_a_list_and_a_client_sees_buckets(app: Application) -> None:
    _, headers, body = ask(app, "GET", "/", {"accept": "text/html"})
    assert headers["content-type"].startswith("text/html")
    assert b"Endpoints" in body
    assert b"ListAllMyBucketsResult" in ask(app, "GET", "/")[2]
    assert ask(app, "GET", "/_dyno/state")[0] == 200
    assert ask(app, "PUT", "/_dyno/key", {}, b"")[0] == 404


def test_rules_between_members_of_a_model_and_a_configuration(app: Application) -> None:
    image = {"Image": "modeldyno"}
    named = {"ModelName": "rules", "ExecutionRoleArn": ROLE}
    for asked, words in (
        (
            {"PrimaryContainer": image, "Containers": [image]},
            "exactly one of PrimaryContainer and Containers",
        ),
        ({}, "exactly one of PrimaryContainer and Containers"),
        ({"Containers": [{**image, "ContainerHostname": "a"}, image]}, "ContainerHostname"),
        ({"Containers": [{**image, "ContainerHostname": "a"}] * 2}, "unique"),
        ({"PrimaryContainer": {}}, "Image and ModelPackageName"),
        ({"PrimaryContainer": {**image, "Mode": "MultiModel", "ModelDataUrl": "s3://b/k"}}, "ends with '/'"),
    ):
        status, answer = call(app, "sagemaker", "CreateModel", {**named, **asked})
        assert (status, answer["__type"]) == (400, "ValidationException")
        assert words in str(answer["message"])
    assert call(app, "sagemaker", "CreateModel", {**named, "PrimaryContainer": image})[0] == 200
    fleet = {
        "VariantName": "a",
        "ModelName": "rules",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    serverless = {
        "VariantName": "s",
        "ModelName": "rules",
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 2},
    }
    for variants, words in (
        ([fleet, fleet], "unique"),
        ([{**fleet, "ModelName": "none"}], "Could not find model"),
        ([{**fleet, **serverless}], "excludes"),
        ([{"VariantName": "a", "ModelName": "rules"}], "InstanceType"),
        ([fleet, serverless], "exactly one variant"),
    ):
        config = {"EndpointConfigName": "rules", "ProductionVariants": variants}
        status, answer = call(app, "sagemaker", "CreateEndpointConfig", config)
        assert (status, answer["__type"]) == (400, "ValidationException")
        assert words in str(answer["message"])


PARTS = (
    *(
        "/",
        "..",
        "%2e%2e",
        "%00",
        "%ff",
        "bucket",
        "a",
        "endpoints",
        "invocations",
        "_dyno",
        "%",
        "?",
        "&",
        "=",
    ),
    *(
        "uploads",
        "uploadId=x",
        "partNumber=1",
        "list-type=2",
        "max-keys=-1",
        "delete",
        "location",
        "Expires=x",
    ),
    *(
        "continuation-token=%F0",
        "prefix=%ff",
        "uploadId=%ff",
        "delimiter=%ff",
        "X-Amz-Expires=9",
        "Signature=s",
        "\u20ac",
    ),
)
NAMES = (
    *("x-amz-target", "range", "if-match", "x-amz-copy-source", "content-encoding", "x-amz-trailer"),
    *("authorization", "content-type", "x-amz-checksum-crc32", "content-md5", "x-amz-decoded-content-length"),
)
VALUES = (
    "aws-chunked",
    "bytes=1-",
    "/bucket/a",
    "%ff/a",
    "b%00/%ff",
    "SageMaker.ListModels",
    FORM["content-type"],
)
PIECES = st.sampled_from(PARTS)
HEADERS = st.dictionaries(st.sampled_from(NAMES), st.text(max_size=12) | st.sampled_from(VALUES), max_size=4)
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"])


def check_request(app: Application, data: st.DataObject) -> None:
    target = "/" + "".join(data.draw(st.lists(PIECES, max_size=6)))
    body = data.draw(st.binary(max_size=64) | st.sampled_from([OLD_ALARMS, b"<Delete/>", b"0\r\n\r\n"]))
    status, _, _ = ask(app, data.draw(METHODS), target, data.draw(HEADERS), body)
    assert status < 500 or status == 501


def check_operation(app: Application, data: st.DataObject) -> None:
    service = data.draw(st.sampled_from(sorted(TARGETS)))
    done = sorted(OPERATIONS.get(service, {"DescribeAlarms": None}))
    name = data.draw(st.sampled_from(done))
    shape = operation(service, name).input_shape
    names = st.sampled_from(sorted(shape.members)) if shape and shape.members else st.text(max_size=4)
    values = JSON | st.sampled_from(["a", "bucket", 1, 2, 10, 2**63, -1, ["a"], {"Key": "a", "Value": "b"}])
    given = data.draw(st.dictionaries(names, values, max_size=6) | JSON)
    body = json.dumps(given).encode(errors="surrogatepass")
    status, _, _ = ask(app, "POST", "/", {"x-amz-target": f"{TARGETS[service]}.{name}"}, body)
    assert status < 500


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_request_ends_in_a_fault(app: Application, data: st.DataObject) -> None:
    check_request(app, data)
    check_operation(app, data)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=10_000, deadline=None)
def test_no_request_of_many_ends_in_a_fault(app: Application, data: st.DataObject) -> None:
    check_request(app, data)
    check_operation(app, data)
