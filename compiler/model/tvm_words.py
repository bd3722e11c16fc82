"""What TVM's errors say, in few words: they carry whole programs and the insides of operators."""

from __future__ import annotations

import re

_OPERATOR = re.compile(r'ir\.Op\(.*?name="(relax\.[\w.]+)".*?support_level=\d+\)')
_FIRST_LINES = 3
_BEHIND_THE_PROGRAM = "Error message: "  # where a schedule's errors say what is wrong


def reason(error: BaseException, limit: int = 400) -> str:
    """First telling lines of an error: TVM's carry the whole program behind them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line.removeprefix(_BEHIND_THE_PROGRAM) for line in lines if line.startswith(_BEHIND_THE_PROGRAM)]
    first = [lines[0], *told] if told else lines[:_FIRST_LINES]
    text = _OPERATOR.sub(r"\1", " ".join(first)) or type(error).__name__
    return text if len(text) <= limit else text[:limit] + " …"
