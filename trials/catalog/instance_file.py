"""Read a table of instance types, CSV or YAML, into cells of text that know their line."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import yaml

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.base.records.run import InstanceType

COLUMNS = tuple(InstanceType.model_fields)
MAX_BYTES = 4 * 2**20


class Cell(NamedTuple):
    """What the file says, and in which line."""

    text: str
    line: int


TableRow = dict[str, Cell]


def read_rows(path: Path) -> list[TableRow]:
    """Return the rows of a table whose columns are the fields of InstanceType; empty cells are left out.

    Raises:
        ConfigError: unreadable, neither CSV nor YAML, an unknown or doubled column, a row of another length.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _csv_rows(path, _read(path))
    if suffix in {".yaml", ".yml"}:
        return _yaml_rows(path, _read(path))
    raise ConfigError(f"{path}: a table of instance types is a .csv, .yaml or .yml file")


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes: that is no table of instance types")
        return path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from error


def _csv_rows(path: Path, text: str) -> list[TableRow]:
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_columns(path, [Cell(name, 1) for name in header])
        return [_csv_row(path, header, cells, reader.line_num) for cells in reader if cells]
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: no valid CSV: {error}") from error


def _csv_row(path: Path, header: list[str], cells: list[str], line: int) -> TableRow:
    if len(cells) != len(header):
        raise ConfigError(f"{path}:{line}: found {len(cells)} cells, the header has {len(header)}")
    return {name: Cell(text.strip(), line) for name, text in zip(header, cells, strict=True) if text.strip()}


def _yaml_rows(path: Path, text: str) -> list[TableRow]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"{path}{line}: no valid YAML: {problem}") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply") from error
    if not isinstance(root, yaml.SequenceNode):
        raise ConfigError(f"{path}:1: expected a list of instance types (- instance_type: NAME ...)")
    return [_yaml_row(path, node) for node in root.value]


def _yaml_row(path: Path, node: yaml.Node) -> TableRow:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}:{_line(node)}: expected columns and values (instance_type: NAME ...)")
    _check_columns(path, [Cell(str(key.value), _line(key)) for key, _ in node.value])
    cells = {str(key.value): _yaml_cell(path, key, value) for key, value in node.value}
    return {column: cell for column, cell in cells.items() if cell.text}


def _yaml_cell(path: Path, key: yaml.Node, node: yaml.Node) -> Cell:
    """Values stay text here: the record's own types read them, as they read a CSV's."""
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(
            f"{path}:{_line(node)}: column {key.value}: expected one value, found a list or keys"
        )
    is_null = node.tag == "tag:yaml.org,2002:null"
    return Cell("" if is_null else str(node.value).strip(), _line(node))


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1


def _check_columns(path: Path, columns: list[Cell]) -> None:
    seen: set[str] = set()
    for name, line in columns:
        if name not in COLUMNS:
            problem = unknown_name("column", name, COLUMNS, hint=f"columns: {', '.join(COLUMNS)}")
            raise ConfigError(f"{path}:{line}: {problem}")
        if name in seen:
            raise ConfigError(f"{path}:{line}: column {name} is given twice")
        seen.add(name)
