"""How many files, and so connections, a process of this machine may open."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED_FILES = 64
"""Descriptors of a Locust process besides its connections."""


def file_limit() -> int:
    """How many files a process here may open, once it has asked for all it can get."""
    try:
        import resource
    except ImportError:  # Windows has sockets apart from files
        return 1 << 20
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def local_ports() -> int:
    """How many connections this machine can have to one address of a server at a time."""
    try:
        first, last = map(int, _PORT_RANGE.read_text().split())
    except (OSError, ValueError):  # not Linux
        return 1 << 16
    return last - first + 1


def raise_file_limit() -> None:
    """Let this process open as many files as the system lets it."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
