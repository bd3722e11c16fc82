"""Which service answers a request: the application behind the HTTP server."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy.exc import DatabaseError

from modeldyno.hosting.control.context import ENDPOINT, Context
from modeldyno.hosting.control.endpoints import refuse_invocation
from modeldyno.hosting.control.operations import OPERATIONS
from modeldyno.hosting.control.paging import page
from modeldyno.hosting.objects import service
from modeldyno.hosting.objects.call import Place
from modeldyno.hosting.objects.files import Files
from modeldyno.hosting.state.database import Database
from modeldyno.hosting.wire import json_form, query_form, rest_form
from modeldyno.hosting.wire.dispatch import Call, call_of, service_of
from modeldyno.hosting.wire.errors import ApiError, Form, answer_of, not_yet
from modeldyno.hosting.wire.messages import Answer, Head, Sink, query_of
from modeldyno.hosting.wire.service_models import SERVICES, operation

MOST_CONTROL_BODY = 8 * 1024 * 1024
MOST_INVOCATION_BODY = 26_214_400
OWN = "/_dyno/"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Gathered:
    """A sink for a body that is handled when it is whole."""

    def __init__(self, most: int, too_large: ApiError, handler: Callable[[bytes], Answer]) -> None:
        self._most, self._too_large, self._handler, self._body = most, too_large, handler, bytearray()

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        self._body += piece
        if len(self._body) > self._most:
            raise self._too_large

    def finish(self) -> Answer:
        """Handle it."""
        return self._handler(bytes(self._body))

    def abort(self) -> None:
        """Nothing is left behind."""


@dataclass(frozen=True)
class Application:
    """All services over one state. Its methods block: they are called off the loop."""

    database: Database
    files: Files
    account: str

    def begin(self, head: Head) -> Sink:
        """Choose what takes a request's body. Raises ApiError."""
        check_origin(head)
        call = call_of(head)
        if call.form is Form.S3:
            return self._s3(head, call)
        if call.service == "sagemaker-runtime":
            too_large = ApiError("ValidationError", f"Body exceeds {MOST_INVOCATION_BODY} bytes.", 413)
            return Gathered(MOST_INVOCATION_BODY, too_large, lambda body: self._invoke(head, call, body))
        too_large = ApiError("RequestEntityTooLarge", f"The request exceeds {MOST_CONTROL_BODY} bytes.", 413)
        if call.form is Form.JSON:
            return Gathered(MOST_CONTROL_BODY, too_large, lambda body: self._json(call, body))
        return Gathered(MOST_CONTROL_BODY, too_large, lambda body: self._query(head, call, body))

    def refuse(self, head: Head, error: BaseException) -> Answer:
        """Write an error as the client's protocol does; what we did not foresee is told on stderr."""
        form = call_of(head).form
        found = error if isinstance(error, ApiError) else self._unforeseen(error, form)
        return answer_of(found, form, head.request_id)

    def _unforeseen(self, error: BaseException, form: Form) -> ApiError:
        full = isinstance(error, OSError) and error.errno in _FULL
        if full or (isinstance(error, DatabaseError) and "disk is full" in str(error.orig)):
            place = self.database.folder.resolve()
            return ApiError("InsufficientStorage", f"No space is left on the disk of {place}.", 507)
        if isinstance(error, DatabaseError) and "locked" in str(error.orig):
            return ApiError("ServiceUnavailable", f"The state in {self.database.folder} is locked.", 503)
        sys.stderr.write("".join(traceback.format_exception(error)))
        code = "InternalError" if form is Form.S3 else "InternalFailure"
        return ApiError(code, f"A fault in dyno host: {type(error).__name__}.", 500)

    def _context(self, call: Call) -> Context:
        return Context(self.database, self.account, call.region)

    def _s3(self, head: Head, call: Call) -> Sink:
        none = ApiError("MaxMessageLengthExceeded", "No body is expected here.")
        if head.path.startswith(OWN):
            return Gathered(0, none, lambda _body: self._own(head))
        if head.path == "/" and head.method == "GET" and _is_browser(head):
            return Gathered(0, none, lambda _body: self._page(call))
        place = Place(self.database, self.files, self.account)
        return service.begin(place, head, call.region)

    def _json(self, call: Call, body: bytes) -> Answer:
        done, given = self._read(call.service, call.operation, lambda model: json_form.read(model, body))
        return json_form.write(done(self._context(call), given), call.json_version)

    def _query(self, head: Head, call: Call, body: bytes) -> Answer:
        try:
            form = query_of(body.decode())
        except ValueError:
            raise ApiError("MalformedInput", "The form can't be read.") from None
        name = service_of(call.service, form)
        action = form.get("Action", "")
        done, given = self._read(name, action, lambda model: query_form.read(model, form))
        result = done(self._context(call), given)
        return query_form.write(operation(name, action), result or {}, head.request_id)

    def _read(
        self, name: str, action: str, read: Callable[[Any], dict[str, Any]]
    ) -> tuple[Callable[[Context, dict[str, Any]], dict[str, Any] | None], dict[str, Any]]:
        """Give what does an operation, and its checked request. Raises ApiError."""
        if name not in SERVICES:
            raise ApiError(
                "UnknownOperationException", f"No service of dyno host has {name[:64]}.{action[:64]}."
            )
        model = operation(name, action)
        done = OPERATIONS.get(name, {}).get(action)
        if done is None:
            raise not_yet(f"{name} {action}")
        return done, read(model)

    def _invoke(self, head: Head, call: Call, body: bytes) -> Answer:
        given = rest_form.read(operation(call.service, call.operation), head, body)
        raise refuse_invocation(self._context(call), given["EndpointName"])

    def _own(self, head: Head) -> Answer:
        if head.method not in ("GET", "HEAD") or head.path != f"{OWN}state":
            raise ApiError("NoSuchKey", f"There is no {head.path[:128]}; {OWN}state is there.", 404)
        body = orjson.dumps({"account": self.account, "state": str(self.database.folder.resolve())})
        return Answer(200, {"content-type": "application/json"}, body)

    def _page(self, call: Call) -> Answer:
        rows, _ = page(self._context(call), ENDPOINT, {"MaxResults": 100})
        lines = "".join(f"<li>{escape(row.name)}: {escape(row.status)}</li>" for row in rows)
        text = (
            '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>dyno host</title>'
            f"<h1>Endpoints in {escape(call.region)}</h1><ul>{lines or '<li>none</li>'}</ul></html>"
        )
        policy = {"content-security-policy": "default-src 'none'"}
        return Answer(200, {"content-type": "text/html; charset=utf-8", **policy}, text.encode())


def check_origin(head: Head) -> None:
    """Refuse a page of another site that reaches for this host, by its own name or by one that points here.

    Signatures are not checked and the host is to run code. Raises ApiError 403.
    """
    host = head.headers.get("host", "")
    if not _is_loopback(host):
        raise ApiError("AccessDenied", f"Host {host[:256]!r} is no name of this machine's loopback.", 403)
    origin = head.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        raise ApiError("AccessDenied", f"Origin {origin[:256]!r} is not this host.", 403)


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    numbers = name.split(".")
    four = len(numbers) == 4 and all(each.isdecimal() and len(each) < 4 for each in numbers)
    return name in ("localhost", "::1") or name.endswith(".localhost") or (four and numbers[0] == "127")


def _is_browser(head: Head) -> bool:
    return "authorization" not in head.headers and "text/html" in head.headers.get("accept", "")
