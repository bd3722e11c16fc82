"""Real boto3 clients against a real `dyno host`."""

from __future__ import annotations

import io
import re
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError, ParamValidationError, WaiterError

from tests.hosting.running import ACCOUNT, ROLE, Host, host

IMAGE = {"Image": "modeldyno"}
FLEET = {"VariantName": "a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with host(tmp_path_factory.mktemp("host")) as started:
        yield started


@pytest.fixture(scope="module")
def sagemaker(running: Host) -> Any:
    return running.client("sagemaker")


@pytest.fixture(scope="module")
def s3(running: Host) -> Any:
    client = running.client("s3")
    client.create_bucket(Bucket="bucket")
    return client


def message(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def model(client: Any, name: str, **more: Any) -> str:
    return str(
        client.create_model(ModelName=name, PrimaryContainer=IMAGE, ExecutionRoleArn=ROLE, **more)["ModelArn"]
    )


def config(client: Any, name: str, of: str, **more: Any) -> None:
    client.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{**FLEET, "ModelName": of}], **more
    )


def test_any_client_is_answered_signed_or_not(running: Host) -> None:
    for signed in ({}, {"signature_version": UNSIGNED}):
        answer = running.client("sagemaker", **signed).list_models()
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert answer["ResponseMetadata"]["RequestId"]
    identity = running.client("sts").get_caller_identity()
    assert (identity["Account"], ACCOUNT in identity["Arn"]) == (ACCOUNT, True)


def test_a_model_is_described_as_it_was_made(sagemaker: Any) -> None:
    arn = model(sagemaker, "Echo-Model", Tags=[{"Key": "team", "Value": "one"}])
    assert arn == f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/echo-model"
    found = sagemaker.describe_model(ModelName="Echo-Model")
    assert (found["PrimaryContainer"], found["ModelArn"]) == (IMAGE, arn)
    assert abs((datetime.now(UTC) - found["CreationTime"]).total_seconds()) < 120
    with pytest.raises(ClientError) as twice:
        model(sagemaker, "Echo-Model")
    assert message(twice) == ("ValidationException", f'Cannot create already existing model "{arn}".')
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "kind", "Value": "two"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "kind", "Value": "two"}]
    sagemaker.delete_model(ModelName="Echo-Model")
    with pytest.raises(ClientError, match='Could not find model "arn:aws:sagemaker:'):
        sagemaker.describe_model(ModelName="Echo-Model")


@pytest.mark.parametrize("name", ["a" * 64, "-a"])
def test_a_name_is_checked_by_the_host_where_the_client_does_not(sagemaker: Any, name: str) -> None:
    with pytest.raises(ClientError) as refused:
        model(sagemaker, name)
    assert message(refused)[0] == "ValidationException"
    assert "'modelName' failed to satisfy constraint: Member must" in message(refused)[1]


def test_a_negative_weight_is_refused_by_the_client_and_no_number_by_the_host(sagemaker: Any) -> None:
    def made(weight: float) -> None:
        variant = {**FLEET, "ModelName": "x", "InitialVariantWeight": weight}
        sagemaker.create_endpoint_config(EndpointConfigName="weights", ProductionVariants=[variant])

    with pytest.raises(ParamValidationError):
        made(-1.0)
    with pytest.raises(ClientError):
        made(float("nan"))


def test_the_life_of_an_endpoint_ends_where_no_replicas_are(running: Host, sagemaker: Any) -> None:
    model(sagemaker, "life")
    with pytest.raises(ClientError, match="Could not find model"):
        config(sagemaker, "life", "none")
    config(sagemaker, "life", "life")
    assert sagemaker.describe_endpoint_config(EndpointConfigName="life")["ProductionVariants"] == [
        {**FLEET, "ModelName": "life", "InitialVariantWeight": 1.0}
    ]
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        sagemaker.create_endpoint(EndpointName="Life", EndpointConfigName="none")
    sagemaker.create_endpoint(EndpointName="Life", EndpointConfigName="life")
    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        sagemaker.create_endpoint(EndpointName="Life", EndpointConfigName="life")
    sagemaker.delete_endpoint_config(EndpointConfigName="life")
    sagemaker.delete_model(ModelName="life")
    found = sagemaker.describe_endpoint(EndpointName="Life")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Failed", "life")
    assert "starts no model servers yet" in found["FailureReason"]
    with pytest.raises(WaiterError):
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="Life", WaiterConfig={"Delay": 1})
    listed = sagemaker.list_endpoints(StatusEquals="Failed")["Endpoints"]
    assert [each["EndpointName"] for each in listed] == ["Life"]
    assert sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"] == []
    with pytest.raises(ClientError, match="Cannot update endpoint"):
        sagemaker.update_endpoint(EndpointName="Life", EndpointConfigName="life")
    with pytest.raises(ClientError) as invoked:
        running.client("runtime.sagemaker").invoke_endpoint(EndpointName="Life", Body=b"1")
    assert message(invoked)[0] == "ValidationError"
    sagemaker.delete_endpoint(EndpointName="Life")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="Life", WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError) as gone:
        sagemaker.delete_endpoint(EndpointName="Life")
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/life"
    assert message(gone) == ("ValidationException", f'Could not find endpoint "{arn}".')
    with pytest.raises(ClientError) as missing:
        running.client("sagemaker-runtime").invoke_endpoint(EndpointName="Life", Body=b"1")
    assert message(missing) == ("ValidationError", f"Endpoint Life of account {ACCOUNT} not found.")


def test_regions_are_apart(running: Host, sagemaker: Any) -> None:
    west = running.client("sagemaker", "us-west-2")
    arn = model(west, "regional")
    assert ":us-west-2:" in arn
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName="regional")


@pytest.mark.parametrize("order", [{}, {"SortBy": "Name", "SortOrder": "Ascending"}], ids=["time", "name"])
def test_pages_lose_and_repeat_nothing_while_one_is_added(running: Host, order: dict[str, str]) -> None:
    client = running.client("sagemaker", "eu-west-1" if order else "eu-west-2")
    names = {f"page-{number:02d}" for number in range(25)}
    for name in sorted(names):
        model(client, name)
    pages = []
    for page in client.get_paginator("list_models").paginate(PaginationConfig={"PageSize": 10}, **order):
        pages.append([each["ModelName"] for each in page["Models"]])
        if len(pages) == 1:
            model(client, "page-zz-newest" if not order else "page-00-first")
    assert [len(each) for each in pages] == [10, 10, 5]
    shown = [name for page in pages for name in page]
    assert len(set(shown)) == len(shown)
    assert set(shown) == names
    with pytest.raises(ClientError, match="NextToken is not valid"):
        client.list_models(NextToken="made-up")


def test_objects_come_back_as_they_were_put(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="k", Body=b"hello", Metadata={"a": "b"}, ContentType="text/x")
    found = s3.get_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"]) == (b"hello", {"a": "b"}, "text/x")
    assert (found["ETag"], found["ChecksumCRC32"]) == ('"5d41402abc4b2a76b9719d911017c592"', "NhCmhg==")
    assert s3.get_object(Bucket="bucket", Key="k", Range="bytes=1-2")["Body"].read() == b"el"
    s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "k"})
    assert s3.head_object(Bucket="bucket", Key="copy")["Metadata"] == {"a": "b"}
    assert s3.get_bucket_location(Bucket="bucket")["LocationConstraint"] is None
    with pytest.raises(ClientError) as missing:
        s3.get_object(Bucket="bucket", Key="none")
    assert message(missing)[0] == "NoSuchKey"
    gone = s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "k"}, {"Key": "copy"}]})
    assert {each["Key"] for each in gone["Deleted"]} == {"k", "copy"}


def test_a_large_object_goes_up_and_down_in_parts(s3: Any) -> None:
    content = bytes(range(256)) * 80_000
    s3.upload_fileobj(io.BytesIO(content), "bucket", "large")
    back = io.BytesIO()
    s3.download_fileobj("bucket", "large", back)
    assert back.getvalue() == content
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    named = {"Bucket": "bucket", "Key": "parts", "UploadId": upload}
    source = {"CopySource": "bucket/large", "CopySourceRange": f"bytes=0-{6 * 1024 * 1024 - 1}"}
    first = s3.upload_part_copy(**named, PartNumber=1, **source)["CopyPartResult"]["ETag"]
    last = s3.upload_part(**named, PartNumber=2, Body=b"end")["ETag"]
    assert [each["Size"] for each in s3.list_parts(**named)["Parts"]] == [6 * 1024 * 1024, 3]
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": last}]
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket="bucket", Key="parts")["Body"].read() == content[: 6 * 1024 * 1024] + b"end"
    other = s3.create_multipart_upload(Bucket="bucket", Key="given-up")["UploadId"]
    s3.abort_multipart_upload(Bucket="bucket", Key="given-up", UploadId=other)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.list_parts(Bucket="bucket", Key="given-up", UploadId=other)


def test_a_presigned_url_is_read_by_anyone(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="open", Body=b"open")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "open"}, ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"open"


def test_logs_are_kept_in_order_and_read_by_page(running: Host) -> None:
    logs = running.client("logs")
    named = {"logGroupName": "/aws/sagemaker/Endpoints/a", "logStreamName": "AllTraffic/i-1"}
    with pytest.raises(ClientError) as missing:
        logs.get_log_events(**named)
    assert message(missing)[0] == "ResourceNotFoundException"
    logs.create_log_group(logGroupName=named["logGroupName"])
    logs.create_log_stream(**named)
    events = [{"timestamp": 1_700_000_000_000 + at, "message": f"line {at}"} for at in range(5)]
    logs.put_log_events(**named, logEvents=events)
    page = logs.get_log_events(**named, startFromHead=True, limit=3)
    assert [each["message"] for each in page["events"]] == ["line 0", "line 1", "line 2"]
    page = logs.get_log_events(**named, nextToken=page["nextForwardToken"])
    assert [each["message"] for each in page["events"]] == ["line 3", "line 4"]
    end = logs.get_log_events(**named, nextToken=page["nextForwardToken"])
    assert (end["events"], end["nextForwardToken"]) == ([], page["nextForwardToken"])
    found = logs.filter_log_events(logGroupName=named["logGroupName"], filterPattern='"line 3"')["events"]
    assert [each["message"] for each in found] == ["line 3"]
    streams = logs.describe_log_streams(logGroupName=named["logGroupName"], logStreamNamePrefix="AllTraffic/")
    assert [each["logStreamName"] for each in streams["logStreams"]] == ["AllTraffic/i-1"]


def test_many_clients_at_once_get_their_own_answers(running: Host, s3: Any) -> None:
    def round_trip(number: int) -> bool:
        content = str(number).encode() * 1000
        s3.put_object(Bucket="bucket", Key=f"many/{number}", Body=content)
        return bool(s3.get_object(Bucket="bucket", Key=f"many/{number}")["Body"].read() == content)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(round_trip, range(64)))


@pytest.mark.parametrize("size", [26_214_401, 80_000_000])
def test_a_body_that_is_too_large_is_told_and_the_connection_is_not_reset(running: Host, size: int) -> None:
    with pytest.raises(ClientError) as refused:
        running.client("sagemaker-runtime").invoke_endpoint(EndpointName="any", Body=bytes(size))
    assert message(refused)[0] == "ValidationError"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def raw(running: Host, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /a%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"PUT /bucket/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", b"400"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /none-such HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"404",
        ),
    ],
    ids=["no HTTP", "foreign host", "large head", "odd path", "odd length", "two in a row"],
)
def test_odd_requests_are_answered_and_the_host_goes_on(running: Host, sent: bytes, status: bytes) -> None:
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", raw(running, sent))
    assert statuses
    assert statuses[-1] == status
    assert running.client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_an_upload_that_breaks_off_leaves_no_object(running: Host, s3: Any) -> None:
    head = b"PUT /bucket/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    raw(running, head + b"only this")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="bucket", Key="cut")
