"""How a running load test tells where it is: JSON lines from the Locust child, read by the parent."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FAILED, CLOCK = -1, -2
"""In the stream of ended requests, instead of a latency: it failed; all that had ended by then is written."""


@dataclass(frozen=True)
class LoadProgress:
    """The state of a load test, about once a second."""

    elapsed_s: float
    total_s: float
    """Warm-up and window; waiting for the last answers comes on top."""
    warmup: bool
    requests: int
    """Finished since the start, failed ones included."""
    errors: int
    rate_rps: float
    """Successful requests a second since the last report."""
    p50_ms: float | None
    """Since the last report; None when nothing succeeded."""
    p99_ms: float | None
    users: int | None = None
    """Where their number changes."""
    waiting_for: str = ""
    """In words, before the start: then all numbers are 0."""

    @staticmethod
    def waiting(what: str) -> LoadProgress:
        """Say that the test has not begun, and for what it waits."""
        return LoadProgress(0.0, 0.0, True, 0, 0, 0.0, None, None, waiting_for=what)

    @property
    def seconds_left(self) -> float:
        """Time to the end of the window."""
        return max(0.0, self.total_s - self.elapsed_s)


@dataclass(frozen=True)
class Started:
    """Told once, shortly before the first request."""

    start_monotonic_ns: int
    """The start on the clock that all processes share (time.monotonic_ns)."""


@dataclass(frozen=True)
class Wanted:
    """A shape of the user's own asks for another number of users."""

    elapsed_s: float
    users: int


@dataclass(frozen=True)
class Failed:
    """The test can't go on, by what the user gave."""

    message: str


@dataclass(frozen=True)
class Closing:
    """Told once, as soon as the end of the window is known, shortly before it at the latest."""

    end_monotonic_ns: int


@dataclass(frozen=True)
class Finished:
    """Told once, when the recording is saved."""


Event = Started | Wanted | Failed | Closing | LoadProgress | Finished
_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (Started, Wanted, Failed, Closing, LoadProgress, Finished)
}


def append_event(path: Path, event: Event) -> None:
    """Add one line."""
    with path.open("a") as stream:
        stream.write(json.dumps({"kind": type(event).__name__, **asdict(event)}) + "\n")


class EventReader:
    """Reads the lines that have come since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Event]:
        """Return the new events; a line that is not complete yet waits for the next call."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                text = stream.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [_event(json.loads(line)) for line in whole.splitlines()]


def _event(fields: dict[str, Any]) -> Event:
    return _KINDS[fields.pop("kind")](**fields)
