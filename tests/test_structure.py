"""The house: no circles, small folders, files and functions. pyproject.toml has what import-linter checks."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.rooms import ROOMS, ROOT

CODE = (*ROOMS, "benchmarks")
MOST_FILES, MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 15, 300, 60, 8
# The public door keeps its keywords.
PUBLIC = {("compiler/models.py", "compile_model")}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def files() -> list[Path]:
    return sorted(path for room in CODE for path in (ROOT / room).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions() -> Iterator[tuple[str, Function]]:
    for path in files():
        for node in ast.walk(parsed(path)):
            if isinstance(node, Function):
                yield path.relative_to(ROOT).as_posix(), node


def parameters(function: Function) -> list[str]:
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def test_no_folder_has_too_many_loose_files() -> None:
    loose = Counter(path.parent for path in files() if path.name != "__init__.py")
    assert {str(folder): count for folder, count in loose.items() if count > MOST_FILES} == {}


def test_no_file_is_too_long() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}


def test_no_function_is_too_long() -> None:
    lines = {(path, each.name): (each.end_lineno or 0) - each.lineno + 1 for path, each in functions()}
    assert {name: count for name, count in lines.items() if count > MOST_FUNCTION_LINES} == {}


def test_no_function_takes_too_many_parameters() -> None:
    counts = {(path, each.name): len(parameters(each)) for path, each in functions()}
    assert {
        name: count for name, count in counts.items() if count > MOST_PARAMETERS and name not in PUBLIC
    } == {}


def imports(path: Path) -> Iterator[str]:
    """Give the modules of `benchmarks` that a file imports, inside functions and for types too."""
    known = {module(each) for each in files()}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name in known and name.startswith("benchmarks"))


def module(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def circle(edges: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


@pytest.mark.parametrize("depth", [2, 9], ids=["folders", "modules"])
def test_benchmarks_import_in_one_direction(depth: int) -> None:
    edges: dict[str, set[str]] = {}
    for path in files():
        if path.relative_to(ROOT).parts[0] == "benchmarks":
            name = ".".join(module(path).split(".")[:depth])
            to = {".".join(each.split(".")[:depth]) for each in imports(path)}
            edges.setdefault(name, set()).update(to - {name, "benchmarks"})
    assert circle(edges) == []


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
