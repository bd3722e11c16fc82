"""One request to S3, and what serves all of them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from botocore.model import StructureShape
from sqlalchemy import Connection, Row, select

from modeldyno.hosting.objects.files import Files
from modeldyno.hosting.state.database import Database
from modeldyno.hosting.state.tables import buckets, objects
from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Answer, Head
from modeldyno.hosting.wire.service_models import operation
from modeldyno.hosting.wire.xml_form import members

MOST_BODY = 4 * 1024 * 1024  # of XML: 10,000 parts, or 1,000 keys to delete
_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True)
class Place:
    """What S3 stands on."""

    database: Database
    files: Files
    account: str


@dataclass(frozen=True)
class S3Call:
    """A request, its bucket and its key ('' where it names none)."""

    place: Place
    head: Head
    region: str
    bucket: str
    key: str

    def header(self, name: str, default: str = "") -> str:
        """Give a header."""
        return self.head.headers.get(name, default)

    def number(self, name: str, default: int, most: int) -> int:
        """Give a number of the query, at most `most`. Raises ApiError."""
        text = self.head.query.get(name, "")
        if not text:
            return default
        if not text.isdecimal() or len(text) > 9:
            raise ApiError("InvalidArgument", f"Provided {name} not an integer or within integer range")
        return min(int(text), most)


Handler = Callable[[S3Call, bytes], Answer]


class Collected:
    """A sink for a small body, which is handled when it is whole."""

    def __init__(self, call: S3Call, handler: Handler) -> None:
        self._call, self._handler, self._body = call, handler, bytearray()

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        self._body += piece
        if len(self._body) > MOST_BODY:
            raise ApiError("MaxMessageLengthExceeded", "Your request was too big.")

    def finish(self) -> Answer:
        """Handle it."""
        return self._handler(self._call, bytes(self._body))

    def abort(self) -> None:
        """Nothing is left behind."""


def must_have_bucket(connection: Connection, name: str) -> Row[Any]:
    """Give a bucket. Raises ApiError NoSuchBucket."""
    row = connection.execute(select(buckets).where(buckets.c.name == name)).first()
    if row is None:
        raise ApiError(
            "NoSuchBucket", "The specified bucket does not exist", 404, members={"BucketName": name}
        )
    return row


def find_object(connection: Connection, bucket: str, key: str) -> Row[Any]:
    """Give an object. Raises ApiError NoSuchBucket, NoSuchKey."""
    must_have_bucket(connection, bucket)
    row = connection.execute(select(objects).where(objects.c.bucket == bucket, objects.c.key == key)).first()
    if row is None:
        raise ApiError("NoSuchKey", "The specified key does not exist.", 404, members={"Key": key})
    return row


def as_xml(name: str, result: dict[str, Any], root: str = "") -> Answer:
    """Write the answer of an operation; its root is the payload's name, or `root`, or the operation's."""
    shape = operation("s3", name).output_shape
    payload = shape.serialization.get("payload") if shape else None
    inner = shape.members[payload] if payload else shape
    top = root or payload or f"{name}Result"
    body = members(inner, result) if isinstance(inner, StructureShape) else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{top} xmlns="{_SPACE}">{body}</{top}>'
    return Answer(200, {"content-type": "application/xml"}, text.encode())


def http_date(seconds: float) -> str:
    """Write a time as HTTP does."""
    return formatdate(seconds, usegmt=True)


def quoted(etag: str) -> str:
    """Write an ETag."""
    return f'"{etag}"'


def encoded(text: str) -> str:
    """Write a token for a text."""
    return base64.urlsafe_b64encode(text.encode()).decode()


def decoded(token: str) -> str:
    """Read a token. Raises ApiError."""
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise ApiError("InvalidArgument", "The continuation token provided is incorrect") from None


def check_presigned(head: Head, now: datetime) -> None:
    """Refuse a presigned URL after its end: SigV2's `Expires`, SigV4's `X-Amz-Date` and `X-Amz-Expires`."""
    query = head.query
    try:
        if "X-Amz-Expires" in query:
            begun = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            until = begun.timestamp() + int(query["X-Amz-Expires"])
        elif "Signature" in query and "Expires" in query:
            until = float(int(query["Expires"]))
        else:
            return
    except (KeyError, ValueError, OverflowError):
        raise ApiError(
            "AuthorizationQueryParametersError", "The expiry of the presigned URL is malformed."
        ) from None
    if now.timestamp() > until:
        raise ApiError("AccessDenied", "Request has expired", 403)
