"""Read a YAML file into a record; each problem names its file, line and path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.base.records.record import Record

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_BYTES = 2**20
MAX_DEPTH = 20
R = TypeVar("R", bound=Record)
Loc = tuple[int | str, ...]


class FieldError(ValueError):
    """What is wrong with one field, where only the record around it can tell; `where` is its dotted path."""

    def __init__(self, where: str, text: str) -> None:
        super().__init__(text)
        self.where: Loc = tuple(where.split("."))


def load_yaml_record(path: Path, kind: type[R], context: dict[str, Any] | None = None) -> R:
    """Read `path` as a record; an empty file, or an empty section, means the defaults.

    `context` is pydantic's validation context.

    Raises:
        ConfigError: unreadable, no YAML, an unknown key, a wrong type or value; all such problems at once,
            one a line, as `FILE:LINE: where.it.is: what is wrong`.
    """
    root, document = _compose(path, _read(path))
    try:
        # JSON's strict mode: "2" is no number and true is no 1, yet a list may become a tuple.
        return kind.model_validate_json(document, strict=True, context=context)
    except ValidationError as error:
        raise ConfigError("\n".join(_problems(path, root, kind, error.errors()))) from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes: that is no job file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from error


def _compose(path: Path, text: str) -> tuple[yaml.Node | None, str]:
    """Return the node tree, which knows its lines, and the same document as JSON."""
    try:
        _check_events(path, text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
        if data is not None and not isinstance(data, dict):
            raise ConfigError(f"{path}:1: expected keys and values, found a {type(data).__name__}")
        _refuse_double_keys(path, root)
        sections = {key: value for key, value in (data or {}).items() if value is not None}
        return root, json.dumps(sections, default=str)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{line}: no valid YAML: {error.problem or error}") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:  # a date that does not exist, or a date as key
        raise ConfigError(f"{path}: no valid YAML: {error}") from error


def _check_events(path: Path, text: str) -> None:
    """Stop at what makes a small file expensive: an alias can stand for gigabytes, depth for minutes."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}{line}: aliases (*name) are not supported")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{path}{line}: nested too deeply")


def _refuse_double_keys(path: Path, node: yaml.Node | None) -> None:
    """The last of two equal keys would win without a word."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{path}:{line}: a key must be a plain word")
        if key.value in seen:
            raise ConfigError(f"{path}:{line}: key {key.value!r} stands in line {seen[key.value]} already")
        seen[key.value] = line
        _refuse_double_keys(path, value)


def _problems(
    path: Path, root: yaml.Node | None, kind: type[Record], errors: Sequence[ErrorDetails]
) -> Iterator[str]:
    """Word the problems; those of one place (the branches of a union) in one line."""
    places: dict[Loc, list[ErrorDetails]] = {}
    for error in errors:
        if error["type"] == "too_short" and error["input"]:
            continue  # its items are wrong, and are told below
        places.setdefault(_locate(root, _loc(error))[0], []).append(error)
    for where, group in places.items():
        line = _locate(root, where)[1]
        wording = " or ".join(dict.fromkeys(_wording(kind, error) for error in group))
        given, said = group[0]["input"], group[0]["type"] in ("extra_forbidden", "value_error")
        found = f", found {given!r}" if isinstance(given, str | int | float) and not said else ""
        yield f"{path}:{line}: {'.'.join(map(str, where))}: {wording}{found}"


def _loc(error: ErrorDetails) -> Loc:
    found = error.get("ctx", {}).get("error")
    return (*error["loc"], *found.where) if isinstance(found, FieldError) else error["loc"]


def line_of(path: Path, where: str) -> int | None:
    """Give the line of a dotted path in a YAML file that was read before; None where it is not there."""
    root = yaml.compose(_read(path), Loader=yaml.SafeLoader)
    loc = tuple(where.split("."))
    found, line = _locate(root, loc)
    return line if found == loc else None


def _locate(root: yaml.Node | None, loc: Loc) -> tuple[Loc, int]:
    """Follow `loc` as far as the file goes (pydantic adds parts of its own); return that path, its line."""
    node, line, where = root, 1, list[int | str]()
    for part in loc:
        step = _step(node, part)
        if step is None:
            break
        node, line = step
        where.append(part)
    return tuple(where), line


def _step(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child = node.value[part]
        return child, child.start_mark.line + 1
    return None


def _wording(kind: type[Record], error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return unknown_name("key", str(error["loc"][-1]), _known_keys(kind, error["loc"][:-1]))
    if error["type"] == "too_short":
        return "must not be empty; leave it out for the default"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message.replace("valid array", "list").replace("an object", "keys and values")


def _known_keys(kind: type[Record], loc: Loc) -> tuple[str, ...]:
    """Names of the fields of the section at `loc`, which may lie in a list."""
    section: type[BaseModel] = kind
    for part in loc:
        if isinstance(part, int):
            continue
        found = _section_of(section.model_fields[part].annotation)
        if found is None:
            return ()
        section = found
    return tuple(info.alias or name for name, info in section.model_fields.items())


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Find the record in a type: itself, or that in `Record | None` or `tuple[Record, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _section_of(arg))), None)
