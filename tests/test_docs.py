"""Names in the pages on the code are those of the code: files, folders, and what stands in a named file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rooms import ROOMS, ROOT

PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
FOLDERS = (*ROOMS, "benchmarks", "tests", "docs", "notebooks", "modeldyno")
_PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
_NAMED = re.compile(r"`([A-Za-z_]+)`(?:,[^`(]{0,30})?\s*\(`((?:\w+/)+\w+\.py)`")
_OF = re.compile(r"`([A-Z_]{4,}|[A-Z]\w+)` (?:of|in)\s+`((?:\w+/)+\w+\.py)`")


@pytest.mark.parametrize("page", PAGES)
def test_every_path_on_a_page_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [path for path in _PATH.findall(text) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_what_is_said_to_be_in_a_file_is_in_it(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    said = [*_NAMED.findall(text), *_OF.findall(text)]
    assert [(name, path) for name, path in said if not stands_in(name, ROOT / path)] == []


def stands_in(name: str, path: Path) -> bool:
    return path.is_file() and re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")) is not None


def test_the_recipes_name_what_they_are_about() -> None:
    text = (ROOT / "docs/adding.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == 6
    assert len(_NAMED.findall(text)) + len(_OF.findall(text)) >= 7
