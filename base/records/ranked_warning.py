"""RankedWarning: what changes how far an answer holds, and what to do about it."""

from __future__ import annotations

from typing import Literal

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record

Rank = Literal["void", "weak", "note"]


class RankedWarning(Record):
    """Something that a reader of the answer must know."""

    rank: Rank = Field(description="void: not judged; weak: judged, less sure; note: only to be known")
    text: str
    advice: str = Field(default="", description="what to do about it")
