"""Whether a text of user code is JSON: Python's own writer has NaN and Infinity, which JSON has not."""

from __future__ import annotations

import json
from typing import Any

from modeldyno.base.errors import RequestError
from modeldyno.serving.wire.npy import shown

_CONSTANTS = (b"NaN", b"Infinity")
_NOT_ACCEPTABLE = 406


class _Constant:
    def __init__(self, word: str) -> None:
        self.word = word


def check_constants(text: bytes) -> None:
    """Refuse a text with NaN or Infinity outside of its strings; any other fault is none of ours.

    Raises:
        RequestError: there is one; the message has its place (406).
    """
    if not any(word in text for word in _CONSTANTS):
        return
    try:
        document = json.loads(text, parse_constant=_Constant)
    except (ValueError, RecursionError):
        return
    if found := _find(document):
        place, word = found
        raise RequestError(
            f"the answer of the user code holds {word} at {place}, which JSON can't say: replace it in "
            "predict_fn or output_fn, or ask for another type with Accept",
            status=_NOT_ACCEPTABLE,
        )


def _find(document: Any) -> tuple[str, str] | None:
    """Return place and word of the first constant, e.g. `$["p"][0]`."""
    rest = [("$", document)]
    while rest:
        place, value = rest.pop()
        if isinstance(value, _Constant):
            return place, value.word
        if isinstance(value, dict):
            rest += [(f"{place}[{shown(key)}]", inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list):
            rest += [
                (f"{place}[{index}]", inner)
                for index, inner in reversed(tuple(enumerate(value)))
                if isinstance(inner, (dict, list, _Constant))
            ]
    return None
