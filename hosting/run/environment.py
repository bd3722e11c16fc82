"""The environment that points clients here, and nowhere else."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

REGION = "us-east-1"
UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")


def settings(port: int) -> dict[str, str]:
    """Give the variables that clients need."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",  # no secret: signatures are not checked
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "NO_PROXY": "127.0.0.1",
    }


def unset(given: Mapping[str, str]) -> list[str]:
    """Give the variables that would lead clients elsewhere: an endpoint of one service overrides ours."""
    return [*UNSET, *sorted(name for name in given if name.startswith("AWS_ENDPOINT_URL_"))]


def block(port: int, given: Mapping[str, str]) -> str:
    """Give the lines for a shell."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings(port).items())
    return f"{exports}unset {' '.join(unset(given))}\n"


def child(port: int, given: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a command that is to talk to this host alone."""
    gone = set(unset(given))
    return {name: value for name, value in given.items() if name not in gone} | settings(port)
