"""Which of our modules a bundle holds: the runtime but for its tools, and what that imports of base."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "modeldyno"
_LEFT_OUT = "tools"


def bundle_modules(rooms: Path) -> list[str]:
    """Give their paths below `rooms`, the folder of the rooms; packages' own files among them."""
    found: set[str] = set()
    waiting = [
        path.relative_to(rooms).as_posix()
        for path in (rooms / "runtime").rglob("*.py")
        if _LEFT_OUT not in path.relative_to(rooms).parts
    ]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imported(rooms, path))
            waiting.extend(f"{parent}/__init__.py" for parent in list(Path(path).parents)[:-1])
    return sorted(found)


def _imported(rooms: Path, path: str) -> Iterator[str]:
    """Give the files of our own that a file imports: modules, and names of packages that are modules."""
    for node in ast.walk(ast.parse((rooms / path).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(f"{PACKAGE}."):
            continue
        place = str(node.module).removeprefix(f"{PACKAGE}.").replace(".", "/")
        for file in (f"{place}.py", *(f"{place}/{alias.name}.py" for alias in node.names)):
            if (rooms / file).is_file():
                yield file
