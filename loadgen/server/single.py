"""One HTTP request on a connection of its own: what is asked of a server beside the load."""

from __future__ import annotations

import http.client
import ssl
from contextlib import closing
from typing import NamedTuple
from urllib.parse import urlsplit

from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.server.endpoint import host_and_port

REFUSED, NO_ANSWER = -1, 0


class Reply(NamedTuple):
    """An answer; status is NO_ANSWER where none came, REFUSED where nothing listens."""

    status: int
    content_type: str = ""
    body: bytes = b""


def ask(url: str, method: str, limit_s: float, payload: Payload | None = None) -> Reply:
    """Send one request and give what came within `limit_s` (of each wait for bytes)."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with closing(_connection(url, max(0.001, limit_s))) as connection:
            headers = {} if payload is None else {"Content-Type": payload.content_type}
            connection.request(method, target, None if payload is None else payload.body, headers)
            answer = connection.getresponse()
            return Reply(answer.status, answer.getheader("Content-Type") or "", answer.read())
    except ConnectionRefusedError:
        return Reply(REFUSED)
    except (OSError, http.client.HTTPException):
        return Reply(NO_ANSWER)


def _connection(url: str, limit_s: float) -> http.client.HTTPConnection:
    host, port = host_and_port(url)
    if urlsplit(url).scheme == "https":
        # As the load itself does it: test servers have certificates of their own.
        context = ssl._create_unverified_context()  # noqa: S323
        return http.client.HTTPSConnection(host, port, timeout=limit_s, context=context)
    return http.client.HTTPConnection(host, port, timeout=limit_s)
