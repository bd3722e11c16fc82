"""What an answer must be to count as a success: its status, its text, values in its JSON; pure."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import orjson

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.stats.outcomes import UNEXPECTED
from modeldyno.loadgen.stats.recording import FailureKind

SAME_WITHIN = 1e-6
"""Numbers are the same that differ by no more than this share."""
_SHOWN = 80
_STEP = re.compile(r"(?P<dot>\.?)(?:(?P<name>[^.\[\]]+)|\[(?P<index>\d{1,9})\]|\[\"(?P<quoted>[^\"]*)\"\])")
_NOTHING: Any = object()


@dataclass(frozen=True)
class JsonValue:
    """A place in a JSON document, and what must be there; `value` is _NOTHING where anything may be."""

    text: str
    steps: tuple[str | int, ...]
    value: Any

    def fault(self, document: Any) -> str:
        """Say what is wrong; nothing where nothing is."""
        found = document
        for step in self.steps:
            found = _step(found, step)
            if found is _NOTHING:
                return f"expected {self.text} in the JSON: there is no such place"
        if self.value is _NOTHING or _same(found, self.value):
            return ""
        return f"expected {self.text} in the JSON, found {_shown(orjson.dumps(found).decode())}"


@dataclass(frozen=True)
class Expected:
    """What is expected of each answer; without statuses any 2xx."""

    statuses: tuple[int, ...] = ()
    values: tuple[JsonValue, ...] = ()
    text: bytes = b""

    def failure(self, status: int, body: bytes) -> FailureKind | None:
        """Say how a request failed, from its answer; None when it did not."""
        if not (status in self.statuses if self.statuses else 200 <= status < 300):
            text = body.decode(errors="replace").strip()
            return FailureKind(status, "status", text or f"HTTP {status} without a body")
        if not self.text and not self.values:
            return None
        fault = self._fault(body)
        return FailureKind(status, UNEXPECTED, fault) if fault else None

    def _fault(self, body: bytes) -> str:
        if self.text not in body:
            found = _shown(body.decode(errors="replace"))
            return f"expected {self.text.decode()!r} in the body, found {found!r}"
        if not self.values:
            return ""
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            found = _shown(body.decode(errors="replace"))
            return f"expected JSON, found {found!r}: {error}"
        return next(filter(None, (value.fault(document) for value in self.values)), "")


ANY_SUCCESS = Expected()


def expected_of(spec: LoadSpec) -> Expected:
    """Read what a load test expects.

    Raises:
        ConfigError: a path is no path, or a value can't be in JSON.
    """
    return Expected(
        tuple(spec.expect_status), tuple(map(parse_value, spec.expect_json)), spec.expect_body.encode()
    )


def parse_statuses(text: str) -> tuple[int, ...]:
    """Read `200,404`.

    Raises:
        ConfigError: one is no HTTP status.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[1-5]\d\d", part) for part in parts):
        raise ConfigError(
            f"`expect_status` {text}: expected HTTP statuses with commas, e.g. 200,204", field="expect_status"
        )
    return tuple(map(int, parts))


def parse_value(text: str) -> JsonValue:
    """Read `outputs.y[0]=1.5`, `["odd.name"].x="text"` or `outputs.y`, of which any value will do.

    What is no JSON is taken for text.

    Raises:
        ConfigError: there is no path in it.
    """
    steps: list[str | int] = []
    at = 1 if text.startswith("$") else 0
    while (found := _STEP.match(text, at)) and "=" not in (found["name"] or ""):
        at = found.end()
        name = found["quoted"] if found["name"] is None else found["name"]
        steps.append(int(found["index"]) if name is None else name)
    if found:  # the last name, with the value behind it
        name, at = (found["name"] or "").partition("=")[0], text.index("=", found.start())
        steps += [name] if name else []
    rest = text[at:]
    if (not steps and not text.startswith("$")) or (rest and not rest.startswith("=")):
        raise ConfigError(
            f"`expect_json` {text}: expected PATH=VALUE, e.g. outputs.y[0]=1.5 or label=cat",
            field="expect_json",
        )
    return JsonValue(text, tuple(steps), _value(rest[1:]) if rest else _NOTHING)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _step(found: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return found[step] if isinstance(found, list) and step < len(found) else _NOTHING
    return found.get(step, _NOTHING) if isinstance(found, dict) else _NOTHING


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return math.isclose(found, wanted, rel_tol=SAME_WITHIN)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same(found[key], wanted[key]) for key in wanted)
    return bool(found == wanted)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
