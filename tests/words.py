"""`python -m tests.words`: refuse words that only we know, where the field has one. Part of `make lint`.

Looked at are comments, strings and pages, not identifiers, fields or what stands in backticks.
"""

from __future__ import annotations

import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.rooms import ROOMS, ROOT

PAGES = ("docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
INSTEAD = {
    r"twins?": "layout copy",
    r"calmly": "with retries",
    r"roads?": "import path, or steps",
    r"go(es)? before": "overrides",
    r"(is|are|was|were|be) gone on with": "resumed",
}
_NO_PROSE = re.compile(r"`[^`]*`|\{[^{}]*\}|\]\([^)]*\)|<[^>]*>")
_IDENTIFIER = re.compile(r"[bfru]*([\"'])[\w./-]*\1")
_WORDS = re.compile(
    "|".join(rf"(?P<w{number}>\b{word}\b)" for number, word in enumerate(INSTEAD)), re.IGNORECASE
)


def coined(prose: str) -> Iterator[tuple[int, str, str]]:
    """Give line (from 0), word, and what to say instead."""
    for found in _WORDS.finditer(_NO_PROSE.sub(lambda gone: "\n" * gone[0].count("\n"), prose)):
        number = int(str(found.lastgroup).removeprefix("w")) if found.lastgroup else 0
        line = found.string.count("\n", 0, found.start())
        yield line, found[0], list(INSTEAD.values())[number]


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """Give the first line and the text of each comment and string, or of the whole page."""
    if path.suffix != ".py":
        yield 1, path.read_text(encoding="utf-8")
        return
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            said = token.type == tokenize.STRING and not _IDENTIFIER.fullmatch(token.string)
            if said or token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def files() -> Iterator[Path]:
    """Every file with words for readers."""
    for room in (*ROOMS, "benchmarks"):
        for pattern in ("*.py", "*.j2", "*.md"):
            yield from sorted((ROOT / room).rglob(pattern))
    for page in PAGES:
        path = ROOT / page
        yield from sorted(path.glob("*.md")) if path.is_dir() else [path]


def main() -> int:
    """Print each; 1 if there is one."""
    lines = [
        f"{path.relative_to(ROOT)}:{first + line}: {word!r}: say {instead}"
        for path in files()
        for first, text in prose_of(path)
        for line, word, instead in coined(text)
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
