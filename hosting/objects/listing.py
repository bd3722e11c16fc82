"""ListObjects and ListObjectsV2: prefix, delimiter, pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Row, select

from modeldyno.hosting.objects.call import S3Call, as_xml, decoded, encoded, must_have_bucket, quoted
from modeldyno.hosting.state.tables import objects
from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Answer

PAGE, BATCH = 1000, 500
_LAST = "\U0010ffff"  # sorts behind every character


def list_objects_v2(call: S3Call, _body: bytes) -> Answer:
    """Give one page; a token holds the last name shown."""
    query = call.head.query
    token = query.get("continuation-token")
    after = decoded(token) if token is not None else query.get("start-after", "")
    result, end = _page(call, after)
    result["KeyCount"] = len(result["Contents"]) + len(result["CommonPrefixes"])
    for name, member in (("continuation-token", "ContinuationToken"), ("start-after", "StartAfter")):
        if name in query:
            result[member] = query[name] if member == "ContinuationToken" else _written(call, query[name])
    if result["IsTruncated"]:
        result["NextContinuationToken"] = encoded(end)
    return as_xml("ListObjectsV2", result, "ListBucketResult")


def list_objects(call: S3Call, _body: bytes) -> Answer:
    """Give one page of the older form."""
    marker = call.head.query.get("marker", "")
    result, end = _page(call, marker)
    result["Marker"] = _written(call, marker)
    if result["IsTruncated"]:
        result["NextMarker"] = _written(call, end)
    return as_xml("ListObjects", result, "ListBucketResult")


def _page(call: S3Call, after: str) -> tuple[dict[str, Any], str]:
    query, many = call.head.query, call.number("max-keys", PAGE, PAGE)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    if query.get("encoding-type", "url") != "url":
        raise ApiError("InvalidArgument", "Invalid Encoding Method specified in Request")
    contents: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    end, more = "", False
    with call.place.database.read() as connection:
        must_have_bucket(connection, call.bucket)
        for name, row in _walked(connection, call.bucket, prefix, delimiter, after):
            if len(contents) + len(groups) >= many:
                more = many > 0
                break
            end = name
            if row is None:
                groups.append({"Prefix": _written(call, name)})
            else:
                contents.append(_shown(call, row))
    result = {
        "Name": call.bucket,
        "Prefix": _written(call, prefix),
        "Delimiter": _written(call, delimiter) if delimiter else None,
        "MaxKeys": many,
        "IsTruncated": more,
        "EncodingType": query.get("encoding-type"),
        "Contents": contents,
        "CommonPrefixes": groups,
    }
    return result, end


def _walked(
    connection: Connection, bucket: str, prefix: str, delimiter: str, after: str
) -> Iterator[tuple[str, Row[Any] | None]]:
    """Give keys with their rows, and common prefixes with None, in order; a group is stepped over at once."""
    if delimiter and after.startswith(prefix) and after.endswith(delimiter):
        after += _LAST
    while True:
        columns = objects.c
        where = (columns.bucket == bucket, columns.key >= prefix, columns.key > after)
        found = connection.execute(select(objects).where(*where).order_by(columns.key).limit(BATCH)).all()
        for row in found:
            if not row.key.startswith(prefix):
                return
            cut = row.key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                group = row.key[: cut + len(delimiter)]
                yield group, None
                after = group + _LAST
                break
            yield row.key, row
            after = row.key
        if not found:
            return


def _shown(call: S3Call, row: Row[Any]) -> dict[str, Any]:
    shown = {
        "Key": _written(call, row.key),
        "LastModified": row.modified,
        "ETag": quoted(row.etag),
        "Size": row.size,
        "StorageClass": "STANDARD",
    }
    if call.head.query.get("fetch-owner", "") == "true":
        shown["Owner"] = {"ID": call.place.account, "DisplayName": "dyno"}
    return shown


def _written(call: S3Call, text: str) -> str:
    return quote(text, safe="/-_.*~") if call.head.query.get("encoding-type") == "url" else text
