"""The instance catalogue: the project's own dated table, and what a user's file adds to it or overrides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.base.records.run import InstanceType
from modeldyno.trials.catalog.instance_file import Cell, TableRow, read_rows

CATALOG_FILE = Path(__file__).parent / "data" / "instances.csv"
REQUIRED = ("architecture", "vcpus", "memory_gib", "usd_per_hour")
UNDATED = "undated"
# Names become parts of file names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_GLOB = re.compile(r"[*?\[]")


def load_catalog(extra: Path | None = None) -> dict[str, InstanceType]:
    """Return the instance types by name, in the table's order.

    `extra` (.csv, .yaml) has the same columns. A row whose name is known overrides only the cells it fills; a
    new row needs those of REQUIRED. A price given there without a source and date is said to be from that
    file, and undated.

    Raises:
        ConfigError: `extra` is unreadable or wrong; the message has file, line and column.
    """
    catalog: dict[str, InstanceType] = {}
    for path in (CATALOG_FILE, extra):
        if path is not None:
            catalog.update(_instances(path, catalog))
    return catalog


def find_instance(catalog: Mapping[str, InstanceType], name: str) -> InstanceType:
    """Return the instance type `name`.

    Raises:
        ConfigError: it is not in the catalogue; the message has the nearest names.
    """
    if name in catalog:
        return catalog[name]
    raise ConfigError(
        unknown_name("instance type", name, catalog, hint="see dyno instances"), field="instance_types"
    )


def match_instances(catalog: Mapping[str, InstanceType], patterns: Iterable[str]) -> list[InstanceType]:
    """Return the types named or matched (`c7*.xlarge`), each once, in the order of the patterns.

    Raises:
        ConfigError: a name without wildcards is not in the catalogue. A wildcard may match nothing.
    """
    found: dict[str, InstanceType] = {}
    for pattern in patterns:
        if _GLOB.search(pattern):
            names = [name for name in catalog if fnmatchcase(name, pattern)]
        else:
            names = [find_instance(catalog, pattern).instance_type]
        found.update((name, catalog[name]) for name in names)
    return list(found.values())


def _instances(path: Path, known: Mapping[str, InstanceType]) -> dict[str, InstanceType]:
    found: dict[str, InstanceType] = {}
    first_lines: dict[str, int] = {}
    for row in read_rows(path):
        name, line = _name(path, row)
        if name in found:
            raise ConfigError(f"{path}:{line}: {name} is given in line {first_lines[name]} already")
        first_lines[name] = line
        found[name] = _instance(path, row, line, known.get(name))
    return found


def _name(path: Path, row: TableRow) -> Cell:
    cell = row.get("instance_type")
    if cell is None:
        line = min((cell.line for cell in row.values()), default=1)
        raise ConfigError(f"{path}:{line}: column instance_type is empty or missing")
    if not _NAME.fullmatch(cell.text):
        raise ConfigError(
            f"{path}:{cell.line}: column instance_type: {cell.text!r} is no name: "
            "use letters, digits, '.', '_' and '-', at most 64"
        )
    return cell


def _instance(path: Path, row: TableRow, line: int, known: InstanceType | None) -> InstanceType:
    given = {column: cell.text for column, cell in row.items()}
    missing = [column for column in REQUIRED if column not in given]
    if known is None and missing:
        raise ConfigError(
            f"{path}:{line}: {given['instance_type']} is not in the catalogue, so its row needs "
            f"{', '.join(missing)} too"
        )
    try:
        return InstanceType.model_validate(_defaults(path, given, known) | given)
    except ValidationError as error:
        raise ConfigError("\n".join(_wording(path, line, row, error))) from error


def _defaults(path: Path, given: Mapping[str, str], known: InstanceType | None) -> dict[str, Any]:
    """Return what holds where a row says nothing."""
    price = {"price_date": UNDATED, "price_source": path.name} if "usd_per_hour" in given else {}
    if known is not None:
        still = [column for column in known.assumed.split() if column not in given]
        return known.model_dump() | price | {"assumed": " ".join(still)}
    blank: dict[str, Any] = dict.fromkeys(("cores", "cpu_model", "coremark_per_s", "gpu"))
    family = given["instance_type"].rpartition(".")[0] or given["instance_type"]
    return {**blank, **price, "family": family, "gpu_count": 1 if "gpu" in given else 0}


def _wording(path: Path, line: int, row: TableRow, error: ValidationError) -> Iterable[str]:
    for problem in error.errors():
        column = str(problem["loc"][0])
        cell = row.get(column, Cell("", line))
        message = problem["msg"].replace("Input should", "should")
        yield f"{path}:{cell.line}: column {column}: {message}, found {cell.text!r}"
