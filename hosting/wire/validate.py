"""Check a request against its input shape; the errors are word for word those of AWS.

botocore checks no maximum, no pattern and no enum before it sends, and other clients check nothing.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import regex
from botocore.model import ListShape, MapShape, Shape, StructureShape

from modeldyno.hosting.wire.errors import ApiError, validation
from modeldyno.hosting.wire.exceptions import BY_SHAPE

PATTERN_TIMEOUT_S = 0.5
MOST_SHOWN = 10
_PAIR = re.compile(r"\\u(D[89AB][0-9A-F]{2})\\u(D[C-F][0-9A-F]{2})", re.IGNORECASE)
_BITS = {"integer": 31, "long": 63}
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float, str),
    "double": (int, float, str),
    "structure": (dict,),
    "list": (list,),
    "map": (dict,),
}


def validated(shape: StructureShape | None, given: Any) -> dict[str, Any]:
    """Give what the shape knows of a request, with its types made right; unknown and null members go.

    Raises ApiError: SerializationException for a wrong type, ValidationException for a broken limit.
    """
    if shape is None:
        return {}
    try:
        value: dict[str, Any] = _typed(shape, given, "")
        broken = list(_broken(shape, value, ""))
    except RecursionError:
        raise ApiError("SerializationException", "The request is nested too deeply.") from None
    if broken:
        raise validation(_said(broken))
    return value


def _said(broken: list[str]) -> str:
    many = "error" if len(broken) == 1 else "errors"
    return f"{len(broken)} validation {many} detected: {'; '.join(broken[:MOST_SHOWN])}"


def _typed(shape: Shape, value: Any, path: str) -> Any:
    kind = shape.type_name
    if kind in _KINDS:
        right = isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
        if not right:
            raise _wrong_type(kind, value, path)
    if kind in _BITS and not -(1 << _BITS[kind]) <= value < 1 << _BITS[kind]:
        raise ApiError("SerializationException", f"{path}: {value} does not fit into the type {kind}.")
    if isinstance(shape, StructureShape):
        return {
            name: _typed(member, value[name], _join(path, name))
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [_typed(shape.member, each, f"{path}.{number}.member") for number, each in enumerate(value, 1)]
    if isinstance(shape, MapShape):
        return {key: _typed(shape.value, each, f"{path}.{key}") for key, each in value.items()}
    return _scalar(kind, value, path)


def _scalar(kind: str, value: Any, path: str) -> Any:
    if kind in ("float", "double"):
        try:
            return float(value)
        except (ValueError, OverflowError):
            raise _wrong_type(kind, value, path) from None
    if kind == "blob" and not isinstance(value, bytes | str):
        raise _wrong_type(kind, value, path)
    if kind == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise _wrong_type(kind, value, path) from None
    if kind == "timestamp":
        return _seconds(value, path)
    return value


def _seconds(value: Any, path: str) -> float:
    """Read a time: epoch seconds, or ISO 8601; gives epoch seconds."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise _wrong_type("timestamp", value, path) from None
    if not math.isfinite(seconds):
        raise _wrong_type("timestamp", value, path)
    return seconds


def _wrong_type(kind: str, value: Any, path: str) -> ApiError:
    found = type(value).__name__
    return ApiError("SerializationException", f"{path or 'the request'}: expected {kind}, found {found}.")


def _broken(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            if name not in value:
                yield _line(None, _join(path, name), "not be null")
        for name, each in value.items():
            yield from _broken(shape.members[name], each, _join(path, name))
        return
    found = list(_limits(shape, value))
    yield from (_line(value, path, what) for what in found)
    if found:
        return  # a list over its limit is not walked through
    if isinstance(shape, ListShape):
        for number, each in enumerate(value, 1):
            yield from _broken(shape.member, each, f"{path}.{number}.member")
    elif isinstance(shape, MapShape):
        for key, each in value.items():
            yield from (_line(key, path, what) for what in _limits(shape.key, key))
            yield from _broken(shape.value, each, f"{path}.{key}.member")


def _limits(shape: Shape, value: Any) -> Iterator[str]:
    """What a value breaks: lengths first, and a pattern only where the length is right."""
    rule = BY_SHAPE.get(shape.name)
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if rule is not None:
        least = rule.least if rule.least is not None else least
        most = rule.most if rule.most is not None else most
        if rule.choices and value not in rule.choices:
            yield f"satisfy enum value set: [{', '.join(map(str, rule.choices))}]"
            return
    sized = isinstance(value, str | bytes | list | dict)
    words = "have length" if sized else "have value"
    amount = len(value) if sized else value
    if isinstance(amount, float) and not math.isfinite(amount):
        yield "be a finite number"
    elif isinstance(amount, int | float) and not isinstance(amount, bool):
        if least is not None and amount < least:
            yield f"{words} greater than or equal to {least}"
        elif most is not None and amount > most:
            yield f"{words} less than or equal to {most}"
        elif isinstance(value, str):
            yield from _text(shape.metadata, value)


def _text(metadata: Mapping[str, Any], value: str) -> Iterator[str]:
    choices, pattern = metadata.get("enum"), metadata.get("pattern")
    if choices and value not in choices:
        yield f"satisfy enum value set: [{', '.join(choices)}]"
    elif pattern and not matches(pattern, value):
        yield f"satisfy regular expression pattern: {pattern}"


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern of a service model takes the whole text; one that takes too long does not."""
    try:
        return _compiled(pattern).fullmatch(text, timeout=PATTERN_TIMEOUT_S) is not None
    except TimeoutError:
        return False


@lru_cache(maxsize=2048)
def _compiled(pattern: str) -> Any:
    return regex.compile(_PAIR.sub(_one_character, pattern))


def _one_character(pair: re.Match[str]) -> str:
    """Java writes a character beyond U+FFFF as two halves."""
    high, low = int(pair[1], 16), int(pair[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08X}"


def _line(value: Any, path: str, what: str) -> str:
    said = "null" if value is None else f"'{_short(value)}'"
    return f"Value {said} at '{path}' failed to satisfy constraint: Member must {what}"


def _short(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 1024 else f"{text[:1024]}..."


def _join(path: str, name: str) -> str:
    small = name[:1].lower() + name[1:]
    return f"{path}.{small}" if path else small
