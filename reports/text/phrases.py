"""Names of configurations, loads and fidelities as the page words them."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

from modeldyno.base.records.levels import Level, level_name
from modeldyno.base.records.run import Fidelity, Limits, Row, ServerSettings
from modeldyno.reports.text.digits import TIMES, count, plain

BACKENDS = {"onnxruntime": "ONNX Runtime", "compiled": "compiled"}
WITH_BACKEND = {"onnxruntime": "ONNX Runtime", "compiled": "the compiled model"}
FIDELITY: dict[Fidelity, str] = {
    "measured": "measured on that instance type",
    "emulated": "emulated on this machine",
    "projected": "projected and not measured",
}
_EXPONENT = re.compile(r"(?<![\w.])\d(?:\.\d+)?e\+\d{1,2}(?!\w)")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def backend(name: str) -> str:
    """Name a backend."""
    return BACKENDS.get(name, name)


def settings(found: ServerSettings) -> str:
    """Name server settings in full."""
    return f"{count(found.threads, 'thread')} {TIMES} {count(found.workers, 'worker')}{_more(found)}"


def settings_short(found: ServerSettings) -> str:
    """Name server settings by two numbers, threads times workers, and what else was set."""
    return f"{found.threads} {TIMES} {found.workers}{_more(found)}"


def _more(found: ServerSettings) -> str:
    processes = f", {found.processes} processes" if found.processes > 1 else ""
    delay = f" after {found.batch_delay_ms:g} ms" if found.batch_delay_ms else ""
    return processes + (f", batches of {found.max_batch}{delay}" if found.max_batch > 1 else "")


def load(users: int | None, rate_rps: float | None, stage: str = "") -> str:
    """Name a load level; empty when there was none."""
    level = Level(users, rate_rps, stage)
    return level_name(level, lambda rate: f"{plain(rate)} req/s", lambda number: count(number, "user"))


def configuration(row: Row) -> str:
    """Name a row's configuration on one line."""
    return f"{row.instance_type} · {backend(row.backend)} · {settings_short(row.settings)}"


def limits(found: Limits) -> tuple[str, ...]:
    """Word each limit that is set."""
    texts = [f"p{percentile:g} at most {value:g} ms" for percentile, value in found.latency_ms.items()]
    if found.error_rate is not None:
        texts.append(f"errors at most {100 * found.error_rate:g} %")
    if found.throughput_rps is not None:
        texts.append(f"throughput at least {found.throughput_rps:g} req/s")
    if found.usd_per_hour is not None:
        texts.append(f"price at most {price(found.usd_per_hour)} an hour")
    return tuple(texts)


def price(usd: float) -> str:
    """Word a price list's number, which has no error: all its digits, at least the cents."""
    text = f"{usd:,.5f}".rstrip("0")
    return "$" + text + "0" * (2 - len(text.split(".")[1]))


def moment(stamp: str) -> str:
    """Word an ISO 8601 time for a person; what is none stays as it is."""
    try:
        parsed = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return stamp
    if parsed.tzinfo is None:
        return f"{parsed.day} {parsed:%B %Y, %H:%M}"
    parsed = parsed.astimezone(UTC)
    return f"{parsed.day} {parsed:%B %Y, %H:%M} UTC"


def said(text: str) -> str:
    """Give a record's sentence as a person reads it: no control characters, no `3.7e+02`."""
    return _EXPONENT.sub(lambda found: f"{float(found[0]):.0f}", log_text(text))


def log_text(text: str) -> str:
    """Take terminal colours and control characters out of a server's log."""
    clean = _ESCAPES.sub("", text)
    return "".join(char for char in clean if char in "\n\t" or unicodedata.category(char)[0] != "C").strip(
        "\n"
    )
