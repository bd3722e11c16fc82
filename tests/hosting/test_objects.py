"""S3 without a process: names, paging, conditions, multipart, presigned URLs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modeldyno.hosting.application import Application
from modeldyno.hosting.objects.names import climbs
from tests.hosting.running import application, ask

S3 = {"authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, Signature=x"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with application(tmp_path_factory.mktemp("state")) as made:
        ask(made, "PUT", "/bucket")
        yield made


def tags(body: bytes, name: str) -> list[str]:
    return [each.partition(f"</{name}>")[0] for each in body.decode().split(f"<{name}>")[1:]]


@pytest.mark.parametrize(
    "name", ["ab", "Abc", "a_b", "a..b", "127.0.0.1", "xn--a", "a" * 64, "-ab", "ab-", "ab-s3alias", "_dyno"]
)
def test_what_can_be_no_bucket_is_refused(app: Application, name: str) -> None:
    status, _, body = ask(app, "PUT", f"/{name}", S3)
    assert (status, tags(body, "Code")) == (400, ["InvalidBucketName"])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../x", "InvalidURI"),
        ("a/../../x", "InvalidURI"),
        ("%2e%2e/x", "InvalidURI"),
        ("..%2fx", "InvalidURI"),
        ("%00", "InvalidURI"),
        ("%ff", "InvalidURI"),
        ("k" * 1025, "KeyTooLongError"),
    ],
)
def test_keys_that_lead_elsewhere_are_refused(app: Application, path: str, code: str) -> None:
    status, _, body = ask(app, "PUT", f"/bucket/{path}", S3, b"x")
    assert (status, tags(body, "Code")) == (400, [code])


def test_a_path_climbs_only_where_it_leaves_its_start() -> None:
    assert [climbs(each) for each in ("a/..", "a/../b", "..", "a/../..", "./a", "//..")] == [
        False,
        False,
        True,
        True,
        False,
        True,
    ]


def test_a_key_and_one_below_it_are_two_objects_and_bytes_come_back(app: Application) -> None:
    for key, content in (("d", b"one"), ("d/e", b"two"), ("d/", b""), ("sp%20ace+%E2%82%AC", b"three")):
        assert ask(app, "PUT", f"/bucket/{key}", S3, content)[0] == 200
        assert ask(app, "GET", f"/bucket/{key}", S3)[2] == content
    assert ask(app, "DELETE", "/bucket/d", S3)[0] == 204
    assert ask(app, "GET", "/bucket/d/e", S3)[2] == b"two"


def test_a_replaced_object_leaves_no_file_behind(app: Application) -> None:
    def files() -> int:
        return sum(each.is_file() for each in (app.database.folder / "objects").rglob("*"))

    before = files()
    for content in (b"1", b"2", b"3"):
        ask(app, "PUT", "/bucket/replaced", S3, content)
    assert files() == before + 1
    wrong = {**S3, "x-amz-checksum-crc32": "AAAAAA=="}
    assert tags(ask(app, "PUT", "/bucket/replaced", wrong, b"4")[2], "Code") == ["BadDigest"]
    assert ask(app, "GET", "/bucket/replaced", S3)[2] == b"3"
    ask(app, "DELETE", "/bucket/replaced", S3)
    assert files() == before


def test_pages_show_every_key_and_group_once(app: Application) -> None:
    ask(app, "PUT", "/pages", S3)
    keys = ["a", "a/1", "a/2", "b/c/1", "b/c/2", "b\u20ac", "c", "d/1"]
    for key in keys:
        ask(app, "PUT", f"/pages/{key.replace(chr(0x20AC), '%E2%82%AC')}", S3, b"x")
    for delimiter, expected in (("", sorted(keys)), ("/", ["a", "a/", "b/", "b\u20ac", "c", "d/"])):
        shown, token = [], ""
        for _ in range(20):
            more = f"&continuation-token={token}" if token else ""
            target = f"/pages?list-type=2&max-keys=2&delimiter={delimiter}{more}"
            body = ask(app, "GET", target, S3)[2]
            groups = [tags(each.encode(), "Prefix")[0] for each in tags(body, "CommonPrefixes")]
            shown += sorted([*tags(body, "Key"), *groups])
            if not (following := tags(body, "NextContinuationToken")):
                break
            token = following[0].replace("=", "%3D")
        assert shown == expected


@pytest.mark.parametrize(
    ("given", "status", "content"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=0-99", 206, b"0123456789"),
        ("bytes=10-", 416, None),
        ("bytes=5-2", 200, b"0123456789"),
        ("lines=1", 200, b"0123456789"),
    ],
)
def test_ranges(app: Application, given: str, status: int, content: bytes | None) -> None:
    ask(app, "PUT", "/bucket/range", {**S3, "x-amz-sdk-checksum-algorithm": "CRC32"}, b"0123456789")
    asked = {**S3, "range": given, "x-amz-checksum-mode": "ENABLED"}
    found, headers, body = ask(app, "GET", "/bucket/range", asked)
    assert found == status
    assert content is None or body == content
    assert ("x-amz-checksum-crc32" in headers) == (status == 200)


def test_a_body_in_chunks_is_decoded_and_its_trailer_checked(app: Application) -> None:
    def put(trailer: str) -> int:
        name, _, value = trailer.partition(":")
        headers = {
            "content-encoding": "aws-chunked,gzip",
            "x-amz-trailer": name,
            "x-amz-decoded-content-length": "9",
        }
        body = f"4\r\n1234\r\n5\r\n56789\r\n0\r\n{name}:{value}\r\n\r\n".encode()
        return ask(app, "PUT", "/bucket/chunked", {**S3, **headers}, body)[0]

    assert put("x-amz-checksum-crc32:y/Q5Jg==") == 200
    assert put("x-amz-checksum-crc64nvme:rosUhgp5mIg=") == 200
    found, headers, body = ask(app, "GET", "/bucket/chunked", {**S3, "x-amz-checksum-mode": "ENABLED"})
    assert (found, body, headers["content-encoding"]) == (200, b"123456789", "gzip")
    assert headers["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="
    assert put("x-amz-checksum-crc32:AAAAAA==") == 400
    assert put("x-amz-checksum-crc64nvme:AAAAAAAAAAA=") == 400


def test_conditions_of_reads_and_writes(app: Application) -> None:
    etag = ask(app, "PUT", "/bucket/if", S3, b"x")[1]["etag"]

    def status(method: str, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(app, method, "/bucket/if", {**S3, **named}, b"x" if method == "PUT" else b"")[0]

    assert status("GET", if_match=etag, range="bytes=0-0") == 206
    assert status("GET", if_match='"other"', range="bytes=0-0") == 412
    assert status("GET", if_none_match=etag) == 304
    assert status("GET", if_modified_since="Wed, 01 Jan 2070 00:00:00 GMT") == 304
    assert status("HEAD", if_unmodified_since="Wed, 01 Jan 2020 00:00:00 GMT") == 412
    assert status("PUT", if_none_match="*") == 412
    assert status("PUT", if_match='"other"') == 412
    assert status("PUT", if_match=etag) == 200


def test_a_presigned_url_ends(app: Application) -> None:
    ask(app, "PUT", "/bucket/signed", S3, b"x")
    now = int(time.time())
    old = "AWSAccessKeyId=k&Signature=s&Expires="
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now - 60))
    new = f"X-Amz-Credential=k/20260101/us-east-1/s3/aws4_request&X-Amz-Date={date}&X-Amz-Expires="
    assert ask(app, "GET", f"/bucket/signed?{old}{now + 60}")[0] == 200
    assert ask(app, "GET", f"/bucket/signed?{new}300")[0] == 200
    assert ask(app, "GET", f"/bucket/signed?{old}{now - 1}")[0] == 403
    assert ask(app, "GET", f"/bucket/signed?{new}30")[0] == 403
    assert ask(app, "GET", f"/bucket/signed?{new}soon")[0] == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:8070", "origin": "http://localhost:8070"}, 200),
        ({"host": "[::1]:8070"}, 200),
        ({"x-amz-expected-bucket-owner": "999999999999"}, 403),
        ({"x-amz-expected-bucket-owner": "123456789012"}, 200),
    ],
)
def test_who_may_ask(app: Application, headers: dict[str, str], status: int) -> None:
    assert ask(app, "HEAD", "/bucket", {**S3, **headers})[0] == status


def test_a_bucket_can_be_in_the_name_of_the_host(app: Application) -> None:
    ask(app, "PUT", "/virtual", {**S3, "host": "bucket.s3.localhost:8070"}, b"x")
    assert ask(app, "GET", "/bucket/virtual", S3)[2] == b"x"


def test_what_is_not_done_is_not_taken_for_a_plain_request(app: Application) -> None:
    ask(app, "PUT", "/bucket/tagged", S3, b"x")
    assert ask(app, "PUT", "/bucket/tagged?tagging", S3, b"<Tagging/>")[0] == 501
    assert ask(app, "GET", "/bucket/tagged", S3)[2] == b"x"


def test_a_region_is_one(app: Application) -> None:
    xml = b"<C><LocationConstraint>&lt;x/&gt;</LocationConstraint></C>"
    assert tags(ask(app, "PUT", "/odd-region", S3, xml)[2], "Code") == ["InvalidLocationConstraint"]


def test_xml_with_entities_of_its_own_is_refused(app: Application) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb">]><Delete><Object><Key>&b;</Key></Object></Delete>'
    assert tags(ask(app, "POST", "/bucket?delete", S3, bomb)[2], "Code") == ["MalformedXML"]


def test_an_upload_is_joined_from_its_parts_or_given_up(app: Application, tmp_path: Path) -> None:
    big, small = b"a" * (5 * 1024 * 1024), b"end"
    upload = tags(ask(app, "POST", "/bucket/many?uploads", S3)[2], "UploadId")[0]
    sent = [
        ask(app, "PUT", f"/bucket/many?partNumber={number}&uploadId={upload}", S3, part)[1]["etag"]
        for number, part in ((1, big), (3, small))
    ]
    assert tags(ask(app, "GET", f"/bucket/many?uploadId={upload}", S3)[2], "PartNumber") == ["1", "3"]

    def complete(*named: tuple[int, str]) -> tuple[int, bytes]:
        inner = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in named)
        xml = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()
        status, _, body = ask(app, "POST", f"/bucket/many?uploadId={upload}", S3, xml)
        return status, body

    assert tags(complete((3, sent[1]), (1, sent[0]))[1], "Code") == ["InvalidPartOrder"]
    assert tags(complete((1, "wrong"))[1], "Code") == ["InvalidPart"]
    status, body = complete((1, sent[0]), (3, sent[1]))
    assert status == 200
    assert tags(body, "ETag")[0].endswith("-2&quot;")
    assert ask(app, "GET", "/bucket/many", S3)[2] == big + small
    assert tags(complete((1, sent[0]))[1], "Code") == ["NoSuchUpload"]
