"""If-Match and its like, and ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from modeldyno.hosting.wire.errors import ApiError

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def check_read(headers: Mapping[str, str], etag: str, modified: float) -> bool:
    """Whether the object is to be sent; False: it is as the client has it (304). Raises ApiError 412."""
    if "if-match" in headers:
        if not _among(headers["if-match"], etag):
            raise _failed("If-Match")
    elif _later(headers.get("if-unmodified-since"), modified) is True:
        raise _failed("If-Unmodified-Since")
    if "if-none-match" in headers:
        return not _among(headers["if-none-match"], etag)
    return _later(headers.get("if-modified-since"), modified) is not False


def check_write(headers: Mapping[str, str], etag: str | None) -> None:
    """Check the conditions of a write against what is there; None: nothing is. Raises ApiError."""
    if headers.get("if-none-match") == "*" and etag is not None:
        raise _failed("If-None-Match")
    if "if-match" in headers:
        if etag is None:
            raise ApiError("NoSuchKey", "The specified key does not exist.", 404)
        if not _among(headers["if-match"], etag):
            raise _failed("If-Match")


def check_copy(headers: Mapping[str, str], etag: str, modified: float) -> None:
    """Check the conditions on the source of a copy. Raises ApiError 412."""
    prefix = "x-amz-copy-source-"
    own = {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(prefix)}
    if not check_read(own, etag, modified):
        raise _failed("x-amz-copy-source-if-none-match")


def span(text: str, size: int) -> tuple[int, int] | None:
    """Read a range: its first byte and its length; None where there is none that is understood.

    Raises ApiError InvalidRange where it lies outside.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        length = min(int(found[2]), size)
        start = size - length
    else:
        start = int(found[1])
        end = min(int(found[2]), size - 1) if found[2] else size - 1
        if found[2] and int(found[2]) < start:
            return None
        length = end - start + 1
    if length <= 0 or start >= size:
        raise ApiError(
            "InvalidRange",
            "The requested range is not satisfiable",
            416,
            members={"ActualObjectSize": size},
            headers={"content-range": f"bytes */{size}"},
        )
    return start, length


def _among(text: str, etag: str) -> bool:
    named = [each.strip().removeprefix("W/").strip('"') for each in text.split(",")]
    return "*" in named or etag in named


def _later(date: str | None, modified: float) -> bool | None:
    """Whether it was changed after a date; None where there is no date."""
    try:
        return None if date is None else int(modified) > parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _failed(name: str) -> ApiError:
    return ApiError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        412,
        members={"Condition": name},
    )
