"""Recorded arrival times, from a file as another program wrote it."""

from __future__ import annotations

import codecs
import math
import re
from datetime import UTC, datetime
from pathlib import Path

from modeldyno.base.command.console import say
from modeldyno.base.errors import ConfigError

MAX_TRACE = 10_000_000
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_AFTER_FIRST = re.compile(r"[,;\t]")


def read_trace(path: Path) -> tuple[float, ...]:
    """Read arrival times, one a line: the first column of a CSV file; a header is passed over.

    Times are seconds, or dates with times as ISO 8601 writes them (UTC where no zone is said). They are
    counted from the first. Where they are not in order, that is said, and they are sorted.

    Raises:
        ConfigError: the file can't be read, has fewer than two different times, or something else in a line.
    """
    texts = _first_column(path)
    if texts and _seconds(texts[0][1]) is None:
        texts = texts[1:]
    found = [(number, text, _seconds(text)) for number, text in texts]
    wrong = next(((number, text) for number, text, time in found if time is None), None)
    if wrong:
        raise ConfigError(
            f"{path}:{wrong[0]}: {wrong[1]!r} is no time: expected seconds, or e.g. 2026-01-31T12:00:00.5Z"
        )
    if len({_is_date(text) for _, text in texts}) > 1:
        raise ConfigError(f"{path} has both dates and seconds: they have no common beginning")
    times = [time for _, _, time in found if time is not None]
    if len(times) > MAX_TRACE:
        raise ConfigError(f"{path} has {len(times)} arrival times; at most {MAX_TRACE} can be replayed")
    _tell_order(path, times)
    times.sort()
    if len(times) < 2 or times[-1] <= times[0]:
        raise ConfigError(f"{path} has {len(times)} arrival times; a trace needs two different ones")
    return tuple(time - times[0] for time in times)


def _first_column(path: Path) -> list[tuple[int, str]]:
    """Give the number of each line that is not empty, and what its first column has."""
    try:
        raw = path.read_bytes()
        text = raw.decode(
            "utf-16" if raw.startswith(_UTF_16) else "utf-8-sig"
        )  # with a byte order mark or not
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the trace {path}: {error}") from error
    cells = ((number, _AFTER_FIRST.split(line, 1)[0]) for number, line in enumerate(text.splitlines(), 1))
    return [(number, cell.strip().strip('"').strip()) for number, cell in cells if cell.strip()]


def _tell_order(path: Path, times: list[float]) -> None:
    early = [number for number in range(1, len(times)) if times[number] < times[number - 1]]
    if early:
        say(
            f"{path}: {len(early)} of {len(times)} times are earlier than the one before (first: "
            f"{times[early[0]]:.6f} after {times[early[0] - 1]:.6f}): they are sorted"
        )


def _seconds(text: str) -> float | None:
    """Read a time; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return _seconds_of_date(text)
    return number if math.isfinite(number) else None


def _seconds_of_date(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _is_date(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return True
    return False
