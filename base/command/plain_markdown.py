"""Markdown in which lines of code stay as they are, however long: they are to be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.markdown import CodeBlock, Markdown, MarkdownElement
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


class _Code(CodeBlock):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = "\n".join(f"    {line}" for line in str(self.text).rstrip().splitlines())
        yield Text(lines, no_wrap=True, overflow="ignore")


class PlainMarkdown(Markdown):
    """Rich's, but for code."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
    }
