"""Records without pydantic, for bundles: what our own code imports from pydantic, in plain Python.

A bundle runs on a machine that has numpy alone, and starts faster without pydantic. Types and keys are
checked as pydantic does. Bounds (`ge`, `gt`) are not: what is read is as the compiler wrote it, which the
digest of the manifest says.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from functools import lru_cache
from typing import Any, TypeVar

Place = tuple[str | int, ...]
M = TypeVar("M", bound="BaseModel")
_REQUIRED: Any = object()
_SCALARS: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (float, int)}
ConfigDict = dict


class ValidationError(ValueError):
    """A document does not follow its schema."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self._found = [{"loc": place, "msg": message}]

    def errors(self) -> list[dict[str, Any]]:
        """Give what is wrong, in pydantic's form."""
        return self._found


class _FieldDefault:
    def __init__(self, default: Any, factory: Any) -> None:
        self.default = default
        self.factory = factory

    def make(self) -> Any:
        return self.factory() if self.factory else self.default


def Field(default: Any = _REQUIRED, *, default_factory: Any = None, **_: Any) -> Any:  # noqa: N802 - pydantic's name
    """Say a field's default; descriptions and bounds are for pydantic."""
    return _FieldDefault(default, default_factory)


class BaseModel:
    """Frozen fields by annotation."""

    _defaults: typing.ClassVar[dict[str, _FieldDefault]] = {}

    def __init_subclass__(cls, **_: Any) -> None:
        defaults = dict(cls._defaults)
        for name in inspect.get_annotations(cls):
            value = cls.__dict__.get(name, _REQUIRED)
            defaults[name] = value if isinstance(value, _FieldDefault) else _FieldDefault(value, None)
        cls._defaults = defaults

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - self._defaults.keys()
        if unknown:
            raise ValidationError((min(unknown),), "Extra inputs are not permitted")
        for name, default in self._defaults.items():
            value = values.get(name, _REQUIRED)
            value = default.make() if value is _REQUIRED else value
            if value is _REQUIRED:
                raise ValidationError((name,), "Field required")
            self.__dict__[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    @classmethod
    def model_validate_json(cls: type[M], data: bytes | str) -> M:
        """Read a JSON document.

        Raises:
            ValidationError: it is no JSON, or does not follow the annotations.
        """
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValidationError((), f"Invalid JSON: {error}") from error
        return _model(cls, document, ())


def _model(kind: type[M], value: Any, place: Place) -> M:
    if not isinstance(value, dict):
        raise ValidationError(place, f"Input should be an object, not {type(value).__name__}")
    hints = _hints(kind)  # type: ignore[arg-type] # a class can be hashed; mypy asks it of its instances
    try:
        return kind(
            **{
                key: _value(hints[key], entry, (*place, key)) if key in kind._defaults else entry
                for key, entry in value.items()
            }
        )
    except ValidationError as error:
        (found,) = error.errors()
        if found["loc"][: len(place)] == place:
            raise
        raise ValidationError((*place, *found["loc"]), found["msg"]) from error


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, value: Any, place: Place) -> Any:
    """Check one value against its annotation, and turn arrays into tuples and objects into models."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return _model(hint, value, place)
    if origin is typing.Annotated:
        return _value(arguments[0], value, place)
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, value, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], entry, (*place, index)) for index, entry in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _value(arguments[1], entry, (*place, key)) for key, entry in value.items()}
    return _scalar(hint, value, place)


def _scalar(hint: Any, value: Any, place: Place) -> Any:
    if typing.get_origin(hint) is typing.Literal:
        fits = value in typing.get_args(hint)
    else:
        fits = isinstance(value, _SCALARS.get(hint, ())) and (hint is bool or not isinstance(value, bool))
    if not fits:
        raise ValidationError(place, f"Input should be {_name(hint)}, not {type(value).__name__}")
    return value


def _one_of(choices: tuple[Any, ...], value: Any, place: Place) -> Any:
    """Optional values: None, or what the other choice says."""
    others = [choice for choice in choices if choice is not type(None)]
    if value is None and len(others) < len(choices):
        return None
    return _value(others[0], value, place)


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
