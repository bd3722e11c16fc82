"""Parameters of the compiler say what they are: few are `Any`, by that name or by another."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMPILER = ROOT / "compiler"
MOST = 0.10  # share of the parameters that may be `Any`


def _is_any(annotation: ast.expr | None, any_names: set[str]) -> bool:
    """Whether an annotation is `Any`, an alias of it, or a choice of which it is one: all take anything."""
    match annotation:
        case ast.Name(id=name):
            return name in any_names
        case ast.Attribute(value=ast.Name(id="typing"), attr="Any"):
            return True
        case ast.Constant(value=str(text)):
            return _is_any(ast.parse(text, mode="eval").body, any_names)
    return any(_is_any(each, any_names) for each in _choices(annotation))


def _choices(annotation: ast.expr | None) -> list[ast.expr]:
    """Give what an annotation is a choice of: `A | B`, `Union[A, B]`, `Optional[A]`."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return [left, right]
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=choices)):
            return choices
        case ast.Subscript(value=ast.Name(id="Optional"), slice=choice):
            return [choice]
    return []


def _given_names(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Names that a module gives to types: `X = T`, `X: TypeAlias = T`."""
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(
                target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias"), value=ast.expr() as value
            ):
                yield name, value
            case ast.Assign(value=ast.Constant()) | ast.AnnAssign(value=ast.Constant()):
                continue  # text, and no type
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _imported(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Names that come from other modules: (module, its name for it, the name here)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                yield node.module, each.name, each.asname or each.name


def _any_names(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Give the names that mean `Any` in each module: aliases of aliases and imported ones too."""
    found: dict[str, set[str]] = {name: set() for name in trees}
    grown = True
    while grown:
        grown = False
        for module, tree in trees.items():
            names = found[module]
            new = {
                here
                for source, there, here in _imported(tree)
                if (source == "typing" and there == "Any") or there in found.get(source, ())
            } | {name for name, value in _given_names(tree) if _is_any(value, names)}
            grown = grown or not new <= names
            names |= new
    return found


def _parameters(tree: ast.Module) -> Iterator[tuple[str, ast.arg]]:
    """Parameters of a module's functions, methods and functions inside of them, without self and cls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            for each in (*given.posonlyargs, *given.args, *given.kwonlyargs):
                if each.arg not in ("self", "cls"):
                    yield node.name, each


def _count(trees: dict[str, ast.Module]) -> tuple[Counter[str], int]:
    """Count the parameters that are `Any`, by module, and all parameters."""
    any_names = _any_names(trees)
    loose: Counter[str] = Counter()
    total = 0
    for module, tree in trees.items():
        for _, each in _parameters(tree):
            total += 1
            loose[module] += _is_any(each.annotation, any_names[module])
    return loose, total


def _modules(folder: Path) -> dict[str, ast.Module]:
    return {
        ".".join(("modeldyno", *path.relative_to(ROOT).with_suffix("").parts)): ast.parse(path.read_text())
        for path in sorted(folder.rglob("*.py"))
    }


def test_few_parameters_of_the_compiler_are_any() -> None:
    loose, total = _count(_modules(COMPILER))
    share = loose.total() / total
    worst = ", ".join(f"{module} {count}" for module, count in loose.most_common(5))
    assert share <= MOST, f"{loose.total()} of {total} parameters are Any ({share:.1%}): {worst}"


def test_every_parameter_of_the_compiler_is_annotated() -> None:
    bare = [
        f"{module}.{function}: {each.arg}"
        for module, tree in _modules(COMPILER).items()
        for function, each in _parameters(tree)
        if each.annotation is None
    ]
    assert not bare


def test_aliases_of_any_are_seen_through() -> None:
    trees = {
        "a": ast.parse(
            "from typing import Any\nExpr = Any\nNode: TypeAlias = 'Expr'\ndef f(x: Node, y: int): ..."
        ),
        "b": ast.parse(
            "from a import Node as N\ndef g(x: N, y: N | None, z: 'N', w: list[N], *, v: str): ..."
        ),
        "c": ast.parse(
            "from typing import Any as A, Optional\nclass C:\n    def h(self, x: Optional[A]): ..."
        ),
        "d": ast.parse("import typing\nasync def k(x: typing.Any, y): ..."),
    }
    loose, total = _count(trees)
    assert dict(loose) == {"a": 1, "b": 3, "c": 1, "d": 1}
    assert total == 10
