"""Errors as each protocol writes them, so that botocore reads code, message and members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from xml.sax.saxutils import escape

import orjson

from modeldyno.hosting.wire.messages import Answer


class Form(Enum):
    """How a service writes its errors."""

    JSON = "json"
    QUERY = "query"
    S3 = "s3"


@dataclass
class ApiError(Exception):
    """An answer that a client raises as ClientError.

    members: further members of a modelled error, e.g. OriginalStatusCode. close: the connection ends with it.
    """

    code: str
    message: str
    status: int = 400
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Give code and message."""
        return f"{self.code}: {self.message}"


def validation(message: str) -> ApiError:
    """Say that a value is refused, as SageMaker does; also for what is missing or exists already."""
    return ApiError("ValidationException", message)


def not_yet(what: str) -> ApiError:
    """Say that this version does not do something."""
    return ApiError("UnknownOperationException", f"{what} is not done by this version of dyno host.")


def answer_of(error: ApiError, form: Form, request_id: str) -> Answer:
    """Write an error."""
    if form is Form.JSON:
        body = orjson.dumps(
            {"__type": error.code, "message": clean(error.message), "Message": clean(error.message)}
            | dict(error.members)
        )
        kind = {
            "content-type": "application/x-amz-json-1.1",
            "x-amzn-errortype": error.code,
            "x-amzn-query-error": f"{error.code};{'Sender' if error.status < 500 else 'Receiver'}",
        }
    else:
        body = (_query if form is Form.QUERY else _s3)(error, request_id).encode()
        kind = {"content-type": "text/xml" if form is Form.QUERY else "application/xml"}
    return Answer(error.status, {**kind, **error.headers}, body)


def clean(text: str) -> str:
    """Leave out what neither JSON nor XML 1.0 can carry: control characters, halves of surrogate pairs."""
    return "".join(each if _carried(each) else "\ufffd" for each in text)


def xml_text(text: str) -> str:
    """Escape text for XML; line ends stay what they are."""
    return escape(clean(text), {'"': "&quot;", "\r": "&#13;"})


def _carried(each: str) -> bool:
    code = ord(each)
    return each in "\t\n\r" or (
        code >= 0x20 and not 0xD800 <= code <= 0xDFFF and code not in (0xFFFE, 0xFFFF)
    )


def _query(error: ApiError, request_id: str) -> str:
    who = "Sender" if error.status < 500 else "Receiver"
    return (
        f"<ErrorResponse><Error><Type>{who}</Type><Code>{xml_text(error.code)}</Code>"
        f"<Message>{xml_text(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def _s3(error: ApiError, request_id: str) -> str:
    more = "".join(f"<{name}>{xml_text(str(value))}</{name}>" for name, value in error.members.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{xml_text(error.code)}</Code><Message>{xml_text(error.message)}</Message>{more}"
        f"<RequestId>{request_id}</RequestId></Error>"
    )
