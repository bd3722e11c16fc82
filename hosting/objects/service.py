"""Which operation of S3 a request is for, and what takes its body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote

from sqlalchemy import select

from modeldyno.hosting.objects import buckets, items, listing, multipart
from modeldyno.hosting.objects.bodies import Upload
from modeldyno.hosting.objects.call import (
    Collected,
    Handler,
    Place,
    S3Call,
    check_presigned,
    must_have_bucket,
)
from modeldyno.hosting.objects.conditions import check_write
from modeldyno.hosting.objects.names import check_bucket, check_key
from modeldyno.hosting.state.tables import objects, parts
from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Head, Sink

# By method and, where one is in the query, the name that picks the operation.
_ON_BUCKET: dict[str, dict[str, Handler]] = {
    "PUT": {"": buckets.create_bucket},
    "HEAD": {"": buckets.head_bucket},
    "DELETE": {"": buckets.delete_bucket},
    "POST": {"delete": items.delete_objects},
    "GET": {
        "location": buckets.get_location,
        "uploads": multipart.list_uploads,
        "list-type": listing.list_objects_v2,
        "": listing.list_objects,
    },
}
_ON_KEY: dict[str, dict[str, Handler]] = {
    "GET": {"uploadId": multipart.list_parts, "": items.get_object},
    "HEAD": {"": items.get_object},
    "DELETE": {"uploadId": multipart.abort_upload, "": items.delete_object},
    "POST": {"uploads": multipart.create_upload, "uploadId": multipart.complete_upload},
}
# Parts of S3 that are not done: a name in the query picks them; it must not be taken for a plain GET or PUT.
_NOT_DONE = frozenset(
    [
        "accelerate",
        "acl",
        "analytics",
        "attributes",
        "cors",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "session",
        "tagging",
        "torrent",
        "versioning",
        "versions",
        "website",
    ]
)
_VIRTUAL = re.compile(r"([a-z0-9][a-z0-9.-]+?)(?:\.s3)?\.localhost(?::\d+)?")


def sweep(place: Place) -> None:
    """Delete files that no row names: what a killed process left."""
    with place.database.read() as connection:
        known = set(connection.execute(select(objects.c.file)).scalars())
        known |= set(connection.execute(select(parts.c.file)).scalars())
    place.files.sweep(known)


def begin(place: Place, head: Head, region: str) -> Sink:
    """Choose what takes a request's body. Raises ApiError."""
    bucket, key = _names(head)
    call = S3Call(place, head, region, bucket, key)
    _check_query(head)
    check_presigned(head, datetime.now(UTC))
    _check_owner(call)
    for name in head.query.keys() & _NOT_DONE:
        raise ApiError("NotImplemented", f"?{name} of S3 is not done by this version of dyno host.", 501)
    if not bucket:
        return _at_root(call)
    check_bucket(bucket)
    if not key:
        return Collected(call, _chosen(_ON_BUCKET, head))
    check_key(key)
    if head.method == "PUT":
        return _written(call)
    return Collected(call, _chosen(_ON_KEY, head))


def _at_root(call: S3Call) -> Sink:
    if call.head.method not in ("GET", "HEAD"):
        raise _no_method(call.head)
    return Collected(call, buckets.list_buckets)


def _written(call: S3Call) -> Sink:
    """What takes the body of a PUT to a key; conditions are looked at first, so no body is sent in vain."""
    copies = "x-amz-copy-source" in call.head.headers
    if "uploadId" in call.head.query:
        if copies:
            return Collected(call, multipart.copy_part)
        multipart.check_upload(call)
        return Upload(call, multipart.put_part)
    if copies:
        return Collected(call, items.copy_object)
    items.headers_to_keep(call)
    with call.place.database.read() as connection:
        must_have_bucket(connection, call.bucket)
        same = (objects.c.bucket == call.bucket, objects.c.key == call.key)
        check_write(call.head.headers, connection.execute(select(objects.c.etag).where(*same)).scalar())
    return Upload(call, items.put_object)


def _chosen(table: Mapping[str, Mapping[str, Handler]], head: Head) -> Handler:
    handlers = table.get(head.method, {})
    named = next((name for name in handlers if name and name in head.query), "")
    if named not in handlers:
        raise _no_method(head)
    return handlers[named]


def _names(head: Head) -> tuple[str, str]:
    """Give bucket and key: of the path, or of a host `BUCKET.s3.localhost` and the path."""
    try:
        path = unquote(head.path, errors="strict").removeprefix("/")
    except UnicodeDecodeError:
        raise ApiError("InvalidURI", "The path is not valid UTF-8.") from None
    host = _VIRTUAL.fullmatch(head.headers.get("host", ""))
    if host and host[1] != "s3":
        return host[1], path
    bucket, _, key = path.partition("/")
    return bucket, key


def _check_query(head: Head) -> None:
    try:
        "".join([*head.query, *head.query.values()]).encode()
    except UnicodeEncodeError:
        raise ApiError("InvalidURI", "The query is not valid UTF-8.") from None


def _check_owner(call: S3Call) -> None:
    for name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        if call.header(name, call.place.account) != call.place.account:
            raise ApiError("AccessDenied", "Access Denied", 403)


def _no_method(head: Head) -> ApiError:
    return ApiError(
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
        405,
        members={"Method": head.method},
    )
