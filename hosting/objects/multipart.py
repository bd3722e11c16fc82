"""Multipart uploads: parts are files, joined at the end."""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from modeldyno.hosting.objects.bodies import Kept, copied, stored_or_removed
from modeldyno.hosting.objects.call import S3Call, as_xml, must_have_bucket, quoted
from modeldyno.hosting.objects.checksums import ALGORITHMS, made
from modeldyno.hosting.objects.conditions import check_copy, span
from modeldyno.hosting.objects.files import Span
from modeldyno.hosting.objects.items import headers_to_keep, opened, put_row, source_of
from modeldyno.hosting.state.tables import parts, uploads
from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Answer
from modeldyno.hosting.wire.xml_form import parsed

MOST_PARTS, LEAST_PART_BYTES = 10_000, 5 * 1024 * 1024


def create_upload(call: S3Call, _body: bytes) -> Answer:
    """Begin one."""
    name = uuid.uuid4().hex
    headers = headers_to_keep(call)
    with call.place.database.write() as connection:
        must_have_bucket(connection, call.bucket)
        connection.execute(
            insert(uploads).values(
                id=name, bucket=call.bucket, key=call.key, created=time.time(), headers=headers
            )
        )
    result = {"Bucket": call.bucket, "Key": call.key, "UploadId": name}
    return as_xml("CreateMultipartUpload", result, "InitiateMultipartUploadResult")


def check_upload(call: S3Call) -> None:
    """Look, before its body is read, whether a part can be taken. Raises ApiError."""
    part_number(call)
    with call.place.database.read() as connection:
        _find(connection, call)


def part_number(call: S3Call) -> int:
    """Give the number of a part. Raises ApiError."""
    text = call.head.query.get("partNumber", "")
    number = int(text) if text.isdecimal() and len(text) < 6 else 0
    if not 1 <= number <= MOST_PARTS:
        raise ApiError("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    return number


def put_part(call: S3Call, kept: Kept) -> Answer:
    """Write the row of a part."""
    _store_part(call, kept)
    sums = {f"x-amz-checksum-{name}": value for name, value in kept.checksums.items()}
    return Answer(200, {"etag": quoted(kept.etag), **sums})


def copy_part(call: S3Call, _body: bytes) -> Answer:
    """Take a part from an object."""
    check_upload(call)
    row, descriptor = opened(call, *source_of(call))
    source = Span(descriptor, 0, row.size)
    try:
        check_copy(call.head.headers, row.etag, row.modified)
        start, length = span(call.header("x-amz-copy-source-range"), row.size) or (0, row.size)
    except BaseException:
        source.close()
        raise
    kept = copied(call.place.files, source.part(start, length), {})

    def stored(call: S3Call, kept: Kept) -> Answer:
        now = _store_part(call, kept)
        return as_xml("UploadPartCopy", {"ETag": quoted(kept.etag), "LastModified": now})

    return stored_or_removed(call, kept, stored)


def list_parts(call: S3Call, _body: bytes) -> Answer:
    """Give one page of the parts."""
    after, many = call.number("part-number-marker", 0, MOST_PARTS), call.number("max-parts", 1000, 1000)
    with call.place.database.read() as connection:
        _find(connection, call)
        rows = [row for row in _parts(connection, call) if row.number > after]
    shown = rows[:many]
    result: dict[str, Any] = {
        "Bucket": call.bucket,
        "Key": call.key,
        "UploadId": call.head.query["uploadId"],
        "PartNumberMarker": after,
        "MaxParts": many,
        "IsTruncated": len(rows) > many,
        "Parts": [
            {
                "PartNumber": row.number,
                "LastModified": row.modified,
                "ETag": quoted(row.etag),
                "Size": row.size,
            }
            for row in shown
        ],
    }
    if len(rows) > many and shown:
        result["NextPartNumberMarker"] = shown[-1].number
    return as_xml("ListParts", result)


def list_uploads(call: S3Call, _body: bytes) -> Answer:
    """Give the uploads of a bucket that are not complete."""
    with call.place.database.read() as connection:
        must_have_bucket(connection, call.bucket)
        own = select(uploads).where(uploads.c.bucket == call.bucket)
        rows = connection.execute(own.order_by(uploads.c.key, uploads.c.created)).all()
    shown = [{"Key": row.key, "UploadId": row.id, "Initiated": row.created} for row in rows]
    return as_xml("ListMultipartUploads", {"Bucket": call.bucket, "IsTruncated": False, "Uploads": shown})


def abort_upload(call: S3Call, _body: bytes) -> Answer:
    """Give it up."""
    with call.place.database.write() as connection:
        _find(connection, call)
        old = _remove(connection, call)
    call.place.files.remove(*old)
    return Answer(204)


def complete_upload(call: S3Call, body: bytes) -> Answer:
    """Join the parts that are named."""
    named = _named(body)
    with call.place.database.read() as connection:
        headers = _find(connection, call).headers
        chosen = _chosen(_parts(connection, call), named)
    kept = _joined(call, chosen)

    def stored(call: S3Call, kept: Kept) -> Answer:
        with call.place.database.write() as connection:
            _find(connection, call)
            _must_be_same(_parts(connection, call), chosen)
            old = put_row(connection, call, kept, dict(headers), time.time())
            old += _remove(connection, call)
        call.place.files.remove(*old)
        place = f"http://{call.header('host')}/{call.bucket}/{call.key}"
        result = {"Location": place, "Bucket": call.bucket, "Key": call.key, "ETag": quoted(kept.etag)}
        return as_xml("CompleteMultipartUpload", result)

    return stored_or_removed(call, kept, stored)


def _named(body: bytes) -> list[tuple[int, str]]:
    """Read which parts make the object: number and ETag."""
    found = []
    for each in parsed(body).children:
        number, etag = each.first("PartNumber") or "", (each.first("ETag") or "").strip('" ')
        if each.name != "Part" or not number.isdecimal() or len(number) > 5:
            raise ApiError("MalformedXML", "The XML you provided was not well-formed or did not validate.")
        found.append((int(number), etag))
    if not found:
        raise ApiError("MalformedXML", "You must specify at least one part")
    if any(after <= before for (before, _), (after, _) in pairwise(found)):
        raise ApiError("InvalidPartOrder", "The list of parts was not in ascending order.")
    return found


def _chosen(rows: list[Row[Any]], named: list[tuple[int, str]]) -> list[Row[Any]]:
    by_number = {row.number: row for row in rows}
    for number, etag in named:
        if number not in by_number or by_number[number].etag != etag:
            raise ApiError("InvalidPart", "One or more of the specified parts could not be found.")
    chosen = [by_number[number] for number, _ in named]
    if any(row.size < LEAST_PART_BYTES for row in chosen[:-1]):
        raise ApiError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
    return chosen


def _must_be_same(rows: list[Row[Any]], chosen: list[Row[Any]]) -> None:
    now = {row.number: row.file for row in rows}
    if any(now.get(row.number) != row.file for row in chosen):
        raise ApiError("InvalidPart", "A part was replaced while the upload was completed.")


def _joined(call: S3Call, chosen: list[Row[Any]]) -> Kept:
    def source() -> Iterator[bytes]:
        for row in chosen:
            yield from Span(call.place.files.open(row.file), 0, row.size)

    try:
        kept = copied(call.place.files, source(), {})
    except FileNotFoundError:
        raise ApiError("NoSuchUpload", "The upload was aborted or completed meanwhile.", 404) from None
    digest = hashlib.md5(b"".join(bytes.fromhex(row.etag) for row in chosen), usedforsecurity=False)
    return Kept(kept.file, kept.size, f"{digest.hexdigest()}-{len(chosen)}", _composite(chosen))


def _composite(chosen: list[Row[Any]]) -> dict[str, str]:
    """Give the checksum of the parts' checksums, where each part has one of the same algorithm."""
    for name in ALGORITHMS:
        if name != "crc64nvme" and all(name in row.checksums for row in chosen):
            total = made(name)
            for row in chosen:
                total.update(base64.b64decode(row.checksums[name]))
            value = base64.b64encode(total.digest()).decode()
            return {name: f"{value}-{len(chosen)}", "type": "COMPOSITE"}
    return {}


def _find(connection: Connection, call: S3Call) -> Row[Any]:
    must_have_bucket(connection, call.bucket)
    own = (uploads.c.id == call.head.query["uploadId"], uploads.c.bucket == call.bucket)
    row = connection.execute(select(uploads).where(*own, uploads.c.key == call.key)).first()
    if row is None:
        raise ApiError(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
            "aborted or completed.",
            404,
        )
    return row


def _parts(connection: Connection, call: S3Call) -> list[Row[Any]]:
    own = select(parts).where(parts.c.upload == call.head.query["uploadId"])
    return list(connection.execute(own.order_by(parts.c.number)))


def _store_part(call: S3Call, kept: Kept) -> float:
    number, now = part_number(call), time.time()
    with call.place.database.write() as connection:
        name = _find(connection, call).id
        old = [row.file for row in _parts(connection, call) if row.number == number]
        connection.execute(
            insert(parts)
            .prefix_with("OR REPLACE")
            .values(
                upload=name,
                number=number,
                file=kept.file,
                size=kept.size,
                etag=kept.etag,
                modified=now,
                checksums=kept.checksums,
            )
        )
    call.place.files.remove(*old)
    return now


def _remove(connection: Connection, call: S3Call) -> list[str]:
    old = [row.file for row in _parts(connection, call)]
    connection.execute(delete(parts).where(parts.c.upload == call.head.query["uploadId"]))
    connection.execute(delete(uploads).where(uploads.c.id == call.head.query["uploadId"]))
    return old
