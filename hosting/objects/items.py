"""Objects: put, read, copied, deleted."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Connection, Row, delete, insert, select

from modeldyno.hosting.objects.bodies import Kept, copied, stored_or_removed
from modeldyno.hosting.objects.call import (
    S3Call,
    as_xml,
    find_object,
    http_date,
    must_have_bucket,
    quoted,
)
from modeldyno.hosting.objects.checksums import ALGORITHMS, PREFIX
from modeldyno.hosting.objects.conditions import check_copy, check_read, check_write, span
from modeldyno.hosting.objects.files import Span
from modeldyno.hosting.objects.names import check_bucket, check_key
from modeldyno.hosting.state.tables import objects
from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Answer
from modeldyno.hosting.wire.xml_form import parsed

KEPT_HEADERS = ("content-type", "cache-control", "content-disposition", "content-language", "expires")
MOST_METADATA, MOST_DELETED = 2048, 1000
_META = "x-amz-meta-"


def headers_to_keep(call: S3Call) -> dict[str, str]:
    """Give the headers of a PUT that a GET answers again. Raises ApiError MetadataTooLarge."""
    given = call.head.headers
    found = {name: given[name] for name in KEPT_HEADERS if name in given}
    encoding = [each.strip() for each in given.get("content-encoding", "").split(",")]
    if left := ", ".join(each for each in encoding if each and each != "aws-chunked"):
        found["content-encoding"] = left
    found.setdefault("content-type", "binary/octet-stream")
    own = {name: value for name, value in given.items() if name.startswith(_META)}
    if sum(len(name) - len(_META) + len(value) for name, value in own.items()) > MOST_METADATA:
        raise ApiError("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
    return found | own


def put_object(call: S3Call, kept: Kept) -> Answer:
    """Write the row of a new object."""
    replace(call, kept, headers_to_keep(call))
    return Answer(200, {"etag": quoted(kept.etag), **_sums(kept.checksums)})


def replace(call: S3Call, kept: Kept, headers: dict[str, str]) -> float:
    """Put a body in the place of what was there; gives its time. Raises ApiError."""
    now = time.time()
    with call.place.database.write() as connection:
        old = put_row(connection, call, kept, headers, now)
    call.place.files.remove(*old)
    return now


def put_row(
    connection: Connection, call: S3Call, kept: Kept, headers: dict[str, str], now: float
) -> list[str]:
    """Write an object's row within a transaction; gives the files that are not needed any more."""
    must_have_bucket(connection, call.bucket)
    same = (objects.c.bucket == call.bucket, objects.c.key == call.key)
    old = connection.execute(select(objects).where(*same)).first()
    check_write(call.head.headers, old.etag if old else None)
    connection.execute(
        insert(objects)
        .prefix_with("OR REPLACE")
        .values(
            bucket=call.bucket,
            key=call.key,
            file=kept.file,
            size=kept.size,
            etag=kept.etag,
            modified=now,
            headers=headers,
            checksums=kept.checksums,
        )
    )
    return [old.file] if old else []


def opened(call: S3Call, bucket: str, key: str) -> tuple[Row[Any], int]:
    """Give an object's row and its open file: both of one moment, though it is replaced meanwhile."""
    for _ in range(100):
        with call.place.database.read() as connection:
            row = find_object(connection, bucket, key)
        try:
            return row, call.place.files.open(row.file)
        except FileNotFoundError:
            continue
    raise ApiError("InternalError", "The object's file is missing.", 500)


def get_object(call: S3Call, _body: bytes) -> Answer:
    """Give an object or a range of it."""
    row, descriptor = opened(call, call.bucket, call.key)
    whole = Span(descriptor, 0, row.size)
    try:
        answer, (start, length) = _described(call, row)
    except BaseException:
        whole.close()
        raise
    if answer.status == 304 or call.head.method == "HEAD":
        whole.close()
        return answer
    return Answer(answer.status, answer.headers, whole.part(start, length), length)


def _described(call: S3Call, row: Row[Any]) -> tuple[Answer, tuple[int, int]]:
    """Give an answer without its body, and which part of the object is its body."""
    headers = call.head.headers
    own = {"etag": quoted(row.etag), "last-modified": http_date(row.modified), "accept-ranges": "bytes"}
    if not check_read(headers, row.etag, row.modified):
        return Answer(304, own), (0, 0)
    own |= row.headers
    for name in (*KEPT_HEADERS, "content-encoding"):
        if told := call.head.query.get(f"response-{name}"):
            own[name] = told
    part = span(headers.get("range", ""), row.size)
    if part is not None:
        start, length = part
        own["content-range"] = f"bytes {start}-{start + length - 1}/{row.size}"
        return Answer(206, own, iter(()), length), part
    if headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        own |= _sums(row.checksums)
    return Answer(200, own, iter(()), row.size), (0, row.size)


def _sums(checksums: dict[str, str]) -> dict[str, str]:
    """Give the headers of checksums; those of a whole object are never sent with a range."""
    if not checksums:
        return {}
    kind = checksums.get("type", "FULL_OBJECT")
    found = {PREFIX + name: value for name, value in checksums.items() if name in ALGORITHMS}
    return {**found, "x-amz-checksum-type": kind} if found else {}


def delete_object(call: S3Call, _body: bytes) -> Answer:
    """Delete; what is not there is no error."""
    _delete(call, [call.key])
    return Answer(204)


def delete_objects(call: S3Call, body: bytes) -> Answer:
    """Delete up to 1,000."""
    tree = parsed(body)
    keys = [each.first("Key") for each in tree.children if each.name == "Object"]
    if not 0 < len(keys) <= MOST_DELETED or None in keys:
        raise ApiError("MalformedXML", f"Name 1 to {MOST_DELETED} objects, each with a Key.")
    named = [str(key) for key in keys]
    _delete(call, named)
    quiet = (tree.first("Quiet") or "").lower() == "true"
    return as_xml(
        "DeleteObjects", {} if quiet else {"Deleted": [{"Key": key} for key in named]}, "DeleteResult"
    )


def _delete(call: S3Call, keys: list[str]) -> None:
    with call.place.database.write() as connection:
        must_have_bucket(connection, call.bucket)
        same = (objects.c.bucket == call.bucket, objects.c.key.in_(keys))
        old = connection.execute(select(objects.c.file).where(*same)).scalars().all()
        connection.execute(delete(objects).where(*same))
    call.place.files.remove(*old)


def source_of(call: S3Call) -> tuple[str, str]:
    """Read `x-amz-copy-source`: bucket and key."""
    text = call.header("x-amz-copy-source").partition("?versionId=")[0]
    bucket, slash, key = unquote(text, errors="surrogateescape").removeprefix("/").partition("/")
    if not slash or not key:
        raise ApiError("InvalidArgument", "Copy Source must mention the source bucket and key: bucket/key")
    check_bucket(bucket)
    check_key(key)
    return bucket, key


def copy_object(call: S3Call, _body: bytes) -> Answer:
    """Copy an object, with its headers or with new ones."""
    bucket, key = source_of(call)
    fresh = call.header("x-amz-metadata-directive", "COPY").upper() == "REPLACE"
    if (bucket, key) == (call.bucket, call.key) and not fresh:
        raise ApiError(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing "
            "the object's metadata, storage class, website redirect location or encryption attributes.",
        )
    row, descriptor = opened(call, bucket, key)
    source = Span(descriptor, 0, row.size)
    try:
        check_copy(call.head.headers, row.etag, row.modified)
        headers = headers_to_keep(call) if fresh else dict(row.headers)
    except BaseException:
        source.close()
        raise
    algorithm = {"x-amz-sdk-checksum-algorithm": call.header("x-amz-checksum-algorithm")}
    kept = copied(call.place.files, source, algorithm)

    def stored(call: S3Call, kept: Kept) -> Answer:
        now = replace(call, kept, headers)
        sums = {f"Checksum{name.upper()}": value for name, value in kept.checksums.items()}
        return as_xml("CopyObject", {"ETag": quoted(kept.etag), "LastModified": now, **sums})

    return stored_or_removed(call, kept, stored)
