"""A recommendation as CSV: a row for each candidate, with every number of its record."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from modeldyno.base.records.run import Recommendation, Row, ServerSettings

_SETTINGS = "settings"
_JOIN = "; "


def columns() -> tuple[str, ...]:
    """Give the names of the columns: the fields of a row, in order, its server settings spread out."""
    names: list[str] = []
    for name in Row.model_fields:
        names += ServerSettings.model_fields if name == _SETTINGS else [name]
    return tuple(names)


def as_csv(found: Recommendation) -> str:
    """Write the ranking, best first, then what was rejected; what is not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns(), lineterminator="\n")
    writer.writeheader()
    for row in (*found.ranking, *found.rejected):
        values = row.model_dump()
        values |= values.pop(_SETTINGS)
        writer.writerow({name: _cell(value) for name, value in values.items()})
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return _JOIN.join(map(str, value))
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
