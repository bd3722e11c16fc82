"""The options of a command, made of a record of settings (base/settings.py), and the way back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from modeldyno.base.command.complete import ShellComplete
from modeldyno.base.command.outputs import OutputFile, OutputFolder
from modeldyno.base.command.renamed import Renamed
from modeldyno.base.command.wording import with_flags
from modeldyno.base.settings import REQUIRED, Field, fields_of

F = TypeVar("F", bound=Callable[..., Any])


class Finite(click.FloatRange):
    """A number that is finite, within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Give the number; click's error says what it must be."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def flags_of(
    record: type, name: str, *, complete: Mapping[str, ShellComplete] | None = None
) -> Callable[[F], F]:
    """Give a command an option for each setting of `record`, in the order of its fields.

    The command gets them as one record, by its parameter `name`. `complete` says by the names of fields what
    the shell offers.
    """
    settings = fields_of(record)
    flags = {each.name: each.flag for each in settings}

    def decorate(command: F) -> F:
        @wraps(command)
        def with_record(*args: Any, **values: Any) -> Any:
            given = {each.name: values.pop(each.name) for each in settings}
            return command(*args, **values, **{name: record(**given)})

        decorated: Any = with_record
        for each in reversed(settings):
            decorated = _parameter(each, flags, (complete or {}).get(each.name))(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def arguments_of(settings: Any) -> list[str]:
    """Write a record of settings as the arguments of its command; what is None or empty is left out."""
    found: list[str] = []
    for each in fields_of(type(settings)):
        value = getattr(settings, each.name)
        if isinstance(value, bool):
            found += [each.flag] if value is not each.negative else []
        elif each.many:
            found += [f"{each.flag}={one}" for one in value]
        elif value not in (None, ()):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            found += [text] if each.setting.argument else [f"{each.flag}={text}"]
    return found


def _parameter(
    field: Field, flags: Mapping[str, str], complete: ShellComplete | None
) -> Callable[[Any], Any]:
    if field.setting.argument:
        kind, metavar = _type(field, field.kind), field.setting.metavar
        return click.argument(field.name, type=kind, metavar=metavar, shell_complete=complete)
    old = field.setting.old
    renamed: dict[str, Any] = {} if old is None else {"cls": Renamed, "old": old}
    return click.option(
        *(field.flag, *([field.setting.short] if field.setting.short else []), field.name),
        help=with_flags(field.setting.sentence(), flags),
        metavar=field.setting.metavar,
        hidden=field.setting.hidden,
        **renamed,
        shell_complete=complete,
        **_of_bool(field) if field.kind is bool else _of_value(field),
    )


def _of_bool(field: Field) -> dict[str, Any]:
    if field.negative:
        return {"is_flag": True, "callback": lambda _ctx, _param, value: not value}
    return {"is_flag": True}


def _of_value(field: Field) -> dict[str, Any]:
    parse = field.setting.parse
    if parse is not None:
        return {"callback": lambda _ctx, _param, text: field.default if text is None else parse(text)}
    kind = get_args(field.kind)[0] if field.many else field.kind
    found: dict[str, Any] = {"type": _type(field, kind), "multiple": field.many}
    if field.default is REQUIRED:
        return {**found, "required": True}
    if field.many or field.default is None:
        return found
    return {**found, "default": field.default, "show_default": True}


def _type(field: Field, kind: Any) -> Any:
    setting = field.setting
    if get_origin(kind) is Literal:
        return click.Choice([str(one) for one in get_args(kind)])
    if kind is Path:
        return _path_type(setting.path)
    if kind not in (int, float):
        return kind
    least, opened = (setting.above, True) if setting.above is not None else (setting.least, False)
    if kind is float:
        return Finite(least, setting.most, min_open=opened)
    if least is None and setting.most is None:
        return int
    low, high = (None if bound is None else int(bound) for bound in (least, setting.most))
    return click.IntRange(low, high, min_open=opened)


def _path_type(how: str) -> click.ParamType[Any]:
    if how == "file":
        return OutputFile()
    if how == "read":
        return click.Path(path_type=Path)
    return OutputFolder(replaced=how == "replaced folder")
