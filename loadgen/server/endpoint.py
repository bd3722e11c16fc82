"""The URL under test: its full form, and whether something listens there."""

from __future__ import annotations

import socket
from urllib.parse import SplitResult, urlsplit, urlunsplit

from modeldyno.base.errors import ConfigError, LoadTestError

INVOCATIONS = "/invocations"
CONNECT_TIMEOUT_S = 5.0


def endpoint_url(text: str) -> str:
    """Complete what a user wrote: `http://` where no scheme is given, `/invocations` where no path is.

    >>> endpoint_url("localhost:8080")
    'http://localhost:8080/invocations'

    Raises:
        ConfigError: it is no http or https URL.
    """
    parts = _split(text if "://" in text else f"http://{text}", text)
    path = INVOCATIONS if parts.path in {"", "/"} else parts.path
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def server_root(url: str) -> str:
    """What stands before `/invocations`, or scheme and host where the path is another one.

    >>> server_root("http://localhost:8080/one/invocations")
    'http://localhost:8080/one'
    """
    parts = urlsplit(url)
    prefix = parts.path.removesuffix(INVOCATIONS) if parts.path.endswith(INVOCATIONS) else ""
    return urlunsplit((parts.scheme, parts.netloc, prefix, "", ""))


def host_and_port(url: str) -> tuple[str, int]:
    """Host and TCP port that a URL names."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def check_listening(url: str) -> None:
    """Open one TCP connection and close it again; no request is sent.

    Raises:
        LoadTestError: the name is unknown, or nothing accepts connections there.
    """
    host, port = host_and_port(url)
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except socket.gaierror as error:
        raise LoadTestError(f"cannot resolve {host!r} of {url}: {error.strerror}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise LoadTestError(
            f"cannot connect to {host}:{port}: {reason}; is the server running, and is this its port?"
        ) from error


def _split(url: str, shown: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if known and "@" in parts.netloc:
        raise ConfigError(f"{parts.hostname}: a URL with a user name or password would be kept in the result")
    if not known:
        raise ConfigError(f"{shown!r} is no URL of an endpoint; write one like http://127.0.0.1:8080")
    return parts
