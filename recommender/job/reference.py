"""The reference of job files, as Markdown, from the fields' own descriptions.

`python -m modeldyno.recommender.job.reference docs/job.md` writes the tables of that page again, between its
two marks; a test fails where they are not those of the code.
"""

from __future__ import annotations

import builtins
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic_core import PydanticUndefined

from modeldyno.base.files import write_text
from modeldyno.base.records.load_spec import Phase, Stairs
from modeldyno.base.records.record import Record
from modeldyno.base.records.run import Limits
from modeldyno.base.settings import Setting
from modeldyno.recommender.job.job import CandidateSpace, Compile, FindRate, Job, Load, Server
from modeldyno.recommender.job.traffic_section import Traffic

if typing.TYPE_CHECKING:
    from pydantic.fields import FieldInfo

BEGIN, END = "<!-- from here on made by recommender.job.reference -->", "<!-- to here -->"
SECTIONS: tuple[tuple[str, type[Record]], ...] = (
    ("", Job),
    ("candidates", CandidateSpace),
    ("load", Load),
    ("load.find_rate", FindRate),
    ("load.phases[]", Phase),
    ("load.stairs", Stairs),
    ("limits", Limits),
    ("compile", Compile),
    ("server", Server),
    ("traffic", Traffic),
)
PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def reference() -> str:
    """Return the tables of all sections."""
    return "\n".join(line for name, kind in SECTIONS for line in _section(name, kind))


def with_reference(page: str) -> str:
    """Put the tables between the marks of a page."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{rest.partition(END)[2]}"


def _section(name: str, kind: type[Record]) -> Iterator[str]:
    yield f"### `{name}`" if name else "### The job"
    yield ""
    yield "| field | value | default | what it is |"
    yield "| --- | --- | --- | --- |"
    for field, info in kind.model_fields.items():
        cells = (f"`{info.alias or field}`", value_words(info), _default(info), info.description or "")
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def value_words(info: FieldInfo) -> str:
    """Word what a field takes: its type, its bounds."""
    return _bounded(_type(info.annotation), info.metadata)


def _type(kind: Any) -> str:
    """Word a type; None is left out: what is left out of a job is its default."""
    args = get_args(kind)
    match get_origin(kind):
        case None:
            words = PLAIN.get(kind, "section")
        case typing.Annotated:
            words = _bounded(_type(args[0]), args[1:])
        case typing.Literal:
            words = " or ".join(f"`{arg}`" for arg in args)
        case builtins.tuple:
            words = f"list of: {_type(args[0])}"
        case builtins.dict:
            words = f"{_type(args[0])}: {_type(args[1])}"
        case _:  # a union
            words = " or ".join(_type(arg) for arg in args if arg is not types.NoneType)
    return words


def _bounded(words: str, metadata: Iterable[Any]) -> str:
    """Add the bounds; those of an Annotated field lie in a FieldInfo of their own."""
    every = [one for found in metadata for one in _each(found)]
    bounds = [
        f"{said} {value:,}"
        for one in every
        for name, said in BOUNDS.items()
        if (value := getattr(one, name, None)) is not None
    ]
    return f"{words}, {', '.join(bounds)}" if bounds else words


def _each(found: Any) -> Iterable[Any]:
    return found if isinstance(found, Setting) else getattr(found, "metadata", [found])


def _default(info: FieldInfo) -> str:
    found = info.get_default(call_default_factory=True)
    if found is PydanticUndefined:
        return "needed"
    if found is None or found in ({}, ()) or isinstance(found, Record):
        return ""
    if isinstance(found, bool):
        return f"`{str(found).lower()}`"
    if isinstance(found, tuple):
        return f"`[{', '.join(f'{one:g}' if isinstance(one, float) else str(one) for one in found)}]`"
    return f"`{found:g}`" if isinstance(found, float) else f"`{found}`"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    write_text(page, with_reference(page.read_text(encoding="utf-8")))
