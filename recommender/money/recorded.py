"""Read recorded traffic: a CSV of times, or of minutes and their numbers of requests."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from modeldyno.base.errors import ConfigError

MINUTE_S = 60
MAX_BYTES = 256 * 2**20
MAX_MINUTES = 400 * 24 * 60
EXPECTED = "a time (ISO 8601, or seconds), or a minute and its number of requests"


class Recorded(NamedTuple):
    """Requests in each minute from the first to the last, and what to know of the file."""

    per_minute: tuple[float, ...]
    notes: tuple[str, ...]
    starts_hour: int
    """Hour of the day of the first minute; 0 where the file counts seconds."""


def read_trace(path: Path) -> Recorded:
    """Read a trace; a byte order mark and a first line of names are skipped, minutes without a line have 0.

    Times without an offset are taken as UTC. Lines out of order are sorted, and that is told.

    Raises:
        ConfigError: unreadable, empty, longer than 400 days, or a line that is neither, with its number.
    """
    rows = _rows(path)
    times = [_time(path, line, cells[0]) for line, cells in rows]
    counted = len(rows[0][1]) == 2
    counts = [_count(path, line, cells) for line, cells in rows] if counted else [1.0] * len(rows)
    first, last = (math.floor(each / MINUTE_S) for each in (min(times), max(times)))
    if last - first >= MAX_MINUTES:
        raise ConfigError(
            f"{path}: the trace spans {(last - first) / 1440:.0f} days: at most 400 can be read"
        )
    bins = [0.0] * (last - first + 1)
    for time, count in zip(times, counts, strict=True):
        bins[math.floor(time / MINUTE_S) - first] += count
    if not any(bins):
        raise ConfigError(f"{path}: the trace has no request")
    return Recorded(
        tuple(bins), tuple(_notes(path, times, counted=counted)), _hour(rows[0][1][0], min(times))
    )


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes: give counts per minute")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from error
    lines = csv.reader(text.splitlines())
    try:
        rows = [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines if any(cells)]
    except csv.Error as error:
        raise ConfigError(f"{path}:{lines.line_num}: no valid CSV: {error}") from error
    if rows and _seconds(rows[0][1][0]) is None:
        rows = rows[1:]  # names of the columns
    if not rows:
        raise ConfigError(f"{path} is empty: expected {EXPECTED} in each line")
    width = len(rows[0][1])
    for line, cells in rows:
        if len(cells) != width or width > 2:
            raise ConfigError(f"{path}:{line}: found {len(cells)} cells: expected {EXPECTED}")
    return rows


def _time(path: Path, line: int, text: str) -> float:
    found = _seconds(text)
    if found is None:
        raise ConfigError(f"{path}:{line}: {text!r} is no time: expected {EXPECTED}")
    return found


def _seconds(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return number if math.isfinite(number) else None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _hour(text: str, first_s: float) -> int:
    try:
        float(text)
    except ValueError:
        return datetime.fromtimestamp(first_s, UTC).hour
    return 0


def _count(path: Path, line: int, cells: Sequence[str]) -> float:
    try:
        found = float(cells[1])
    except ValueError:
        found = -1.0
    if not (0 <= found < math.inf):
        raise ConfigError(f"{path}:{line}: {cells[1]!r} is no number of requests")
    return found


def _notes(path: Path, times: Sequence[float], *, counted: bool) -> list[str]:
    notes = []
    backwards = sum(later < earlier for earlier, later in pairwise(times))
    if backwards:
        notes.append(f"{path.name}: {backwards} lines go back in time: they were sorted")
    if counted and len({math.floor(each / MINUTE_S) for each in times}) < len(times):
        notes.append(f"{path.name}: some minutes stand in several lines: they were added up")
    return notes
