"""The most that a load test may be; what is beyond is a slip, or would end without a result."""

from __future__ import annotations

MAX_USERS = 10_000
MAX_RATE = 1e6
"""Requests a second: some hundred processes send as many."""
MAX_SECONDS = 24 * 3600.0
MAX_TIMEOUT_S = 3600.0
MAX_REQUESTS = 100_000_000
"""Of one test: what is kept of each is in memory."""
