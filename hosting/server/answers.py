"""Answers as bytes of HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus

from modeldyno.hosting.wire.messages import Answer


def close(body: Iterator[bytes]) -> None:
    """Let go of what a body is read from."""
    ended = getattr(body, "close", None)
    if ended is not None:
        ended()


def head_of(answer: Answer, request_id: str, *, closing: bool) -> bytes:
    """Write status and headers."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Error"
    own = {"date": formatdate(usegmt=True), "x-amzn-requestid": request_id, "x-amz-request-id": request_id}
    if answer.status != 204:
        own["content-length"] = str(answer.size)
    if closing:
        own["connection"] = "close"
    lines = [f"{name}: {_one_line(value)}\r\n" for name, value in (own | dict(answer.headers)).items()]
    return f"HTTP/1.1 {answer.status} {phrase}\r\n{''.join(lines)}\r\n".encode("latin-1", "replace")


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
