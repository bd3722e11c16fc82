"""Answers that send the client elsewhere: named with their Location, or followed."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from modeldyno.loadgen.stats.recording import FailureKind

MOST_HOPS = 5
_AGAIN = (301, 302, 307, 308)
_SEE_OTHER = 303


class NotFollowedError(Exception):
    """An answer sends the client where it can't go; `failure` says so."""

    def __init__(self, failure: FailureKind) -> None:
        super().__init__(failure.message)
        self.failure = failure


def is_redirect(status: int) -> bool:
    """Whether an answer of this status sends its client elsewhere."""
    return status in _AGAIN or status == _SEE_OTHER


def named(status: int, url: str, location: bytes) -> FailureKind:
    """Word a redirect that is not followed."""
    if not location:
        return FailureKind(status, "status", f"HTTP {status} without a Location: it leads nowhere")
    target = _target(url, location)
    return FailureKind(
        status, "status", f"it leads to {target}: load that URL, or follow it with --follow-redirects"
    )


def next_url(status: int, url: str, location: bytes, hops: int) -> str:
    """Say where the request goes next, as the POST that it is.

    Raises:
        NotFollowedError: nowhere.
    """
    target = _target(url, location)
    why = ""
    if status == _SEE_OTHER:
        why = "which is to be got by GET: a load test sends its request again or not at all"
    elif not location or not _can_be_sent_to(target):
        why = "which is no http or https URL"
    elif hops >= MOST_HOPS:
        why = f"after {MOST_HOPS} redirects: it was not followed further"
    if why:
        raise NotFollowedError(FailureKind(status, "status", f"it leads to {target!r}, {why}"))
    return target


def _target(url: str, location: bytes) -> str:
    text = location.decode("latin-1")
    try:
        return urljoin(url, text)
    except ValueError:
        return text


def _can_be_sent_to(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and "@" not in parts.netloc and url.isprintable()
