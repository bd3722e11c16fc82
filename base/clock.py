"""Wall-clock stamps for records."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """Return the time now, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
