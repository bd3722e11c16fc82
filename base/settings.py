"""A setting is written once: a field of a plain frozen dataclass, whose annotation says all that is known.

    @dataclass(frozen=True)
    class ServeSettings:
        max_waiting: Annotated[int, Setting("Requests that may wait for a worker.", least=0)] = 256

From that field follow the command's option (`flags_of`, base/flags.py), the field of a job file (a pydantic
record inherits the dataclass, see `described`), the tables of the docs, and the JSON for a child process.
Nothing here imports click or pydantic: a command's help and a bundle are to stay light.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

R = TypeVar("R")
C = TypeVar("C", bound=type)

PathKind = Literal["read", "file", "folder", "replaced folder"]


@dataclass(frozen=True)
class Setting:
    """What is known of one setting beside its name, its type and its default.

    help: a sentence that says what it does; another setting is named in backticks, `max_batch`.
    absent: what happens where it is left out, for a default of None or ().
    off: of what is on by default, what its option says, which turns it off.
    least, above, most: bounds of a number: at least, above, at most.
    flag: the option's name where it is not the field's, e.g. "--rate" of rate_rps; `short` a second one.
    metavar: what the help shows for the value; None: by the type.
    parse: turns the option's text into the value. Raises ConfigError.
    path: of a Path: only read, or a file or folder that is written (and so is tried beforehand).
    argument: given by its place on the command line instead of by a name.
    hidden: not shown in the help.
    old: a name that the option had once, which goes on to work (base/command/renamed.py).
    """

    help: str
    absent: str = ""
    off: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    flag: str | None = None
    short: str | None = None
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    path: PathKind = "read"
    argument: bool = False
    hidden: bool = False
    old: str | None = None

    # What pydantic asks of an annotation that stands for several: the bounds, in its own words.
    __is_annotated_types_grouped_metadata__ = True

    def __iter__(self) -> Iterator[Any]:
        """Give the bounds as pydantic knows them."""
        from annotated_types import Ge, Gt, Le

        bounds = ((Ge, self.least), (Gt, self.above), (Le, self.most))
        return iter([kind(value) for kind, value in bounds if value is not None])

    def sentence(self) -> str:
        """Say it in a command's help."""
        if self.off:
            return self.off
        return f"{self.help.removesuffix('.')} (default: {self.absent})." if self.absent else self.help

    def clause(self) -> str:
        """Say it in a table, as a clause without a capital letter."""
        ends = ((_clause(self.off), "false"), (self.absent, "left out"))
        return "; ".join([_clause(self.help), *(f"{when}: {what}" for what, when in ends if what)])


@dataclass(frozen=True)
class Field:
    """One field of a record of settings; `default` is REQUIRED where it has none."""

    name: str
    kind: Any
    """Its type, without None."""
    default: Any
    setting: Setting

    @property
    def many(self) -> bool:
        """Whether its option is given several times."""
        return get_origin(self.kind) is tuple and self.setting.parse is None

    @property
    def negative(self) -> bool:
        """Whether its option turns it off: of what is on by default."""
        return self.kind is bool and self.default is True

    @property
    def flag(self) -> str:
        """The name of its option."""
        return self.setting.flag or f"--{'no-' if self.negative else ''}{self.name.replace('_', '-')}"


REQUIRED: Any = object()


def fields_of(record: type) -> tuple[Field, ...]:
    """Give the settings of a dataclass, in order; fields without a Setting are left out."""
    assert is_dataclass(record)  # noqa: S101 - a mistake in this code
    hints = get_type_hints(record, include_extras=True)
    found = []
    for each in fields(record):
        annotation = hints[each.name]
        setting = next((one for one in get_args(annotation)[1:] if isinstance(one, Setting)), None)
        if setting is not None:
            default = REQUIRED if each.default is MISSING else each.default
            found.append(Field(each.name, _plain(get_args(annotation)[0]), default, setting))
    return tuple(found)


def to_json(record: Any) -> str:
    """Write a record of settings for a child process."""
    return json.dumps(asdict(record), default=str)


def from_json(kind: type[R], text: str) -> R:
    """Read what `to_json` wrote: paths and tuples are made of the types that the fields have."""
    read: R = _revived(kind, json.loads(text))
    return read


def described(record: C) -> C:
    """Let the fields that a pydantic record inherits from settings say what they are: a class decorator."""
    for info in getattr(record, "model_fields").values():  # noqa: B009 - pydantic is not imported here
        setting = next((one for one in info.metadata if isinstance(one, Setting)), None)
        if setting is not None and info.description is None:
            info.description = setting.clause()
    return record


def _clause(sentence: str) -> str:
    words = sentence.removesuffix(".")
    if not words or words[1].isupper():  # as of an abbreviation
        return words
    return words[0].lower() + words[1:]


def _plain(kind: Any) -> Any:
    """Leave None out of a union of it and one other."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    others = [one for one in get_args(kind) if one is not types.NoneType]
    return others[0] if len(others) == 1 else kind


def _revived(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if kind is Path:
        return Path(value)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{name: _revived(_plain(hints[name]), each) for name, each in value.items()})
    if get_origin(kind) is tuple:
        return tuple(_revived(_plain(get_args(kind)[0]), each) for each in value)
    return value
