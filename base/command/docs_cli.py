"""`dyno docs`: the pages of docs/, which are installed with the package."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import click

from modeldyno.base.command.complete import completing
from modeldyno.base.command.console import print_table
from modeldyno.base.errors import ConfigError, unknown_name

_MOST_COLUMNS = 110
_LINK = re.compile(r"\[([^\]]+)\]\(([\w-]+)\.md(?:#[\w-]*)?\)")


def _begun(begun: str) -> Iterable[str]:
    return [name for name in pages() if name.startswith(begun)]


@click.command("docs")
@click.argument("page", required=False, metavar="[PAGE]", shell_complete=completing(_begun))
@click.option("--raw", is_flag=True, help="Print the page as it is written, in Markdown.")
def docs_command(page: str | None, *, raw: bool) -> None:
    """Show a page of the documentation, or list the pages.

    PAGE is a name of the list, e.g. job: every field of a job file. The pages are those of this version.

    \b
    Example:
        dyno docs job | less

    Exit codes: 0 shown; 2 no page of that name.
    """
    found = pages()
    if page is None:
        print_table(("page", "what it is about"), [(name, title(path)) for name, path in found.items()])
        return
    name = page.removesuffix(".md")
    if name not in found:
        raise ConfigError(unknown_name("page", page, found, hint="`dyno docs` lists them"))
    text = found[name].read_text(encoding="utf-8")
    click.echo(text.rstrip() if raw else plain(text))


def pages() -> dict[str, Path]:
    """Give the installed pages by name, in the order of their names."""
    folder = Path(str(files("modeldyno"))) / "docs"
    return {path.stem: path for path in sorted(folder.glob("*.md"))}


def title(path: Path) -> str:
    """Give what a page's first heading says."""
    with path.open(encoding="utf-8") as lines:
        return next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), path.stem)


def plain(text: str) -> str:
    """Set a page in lines of the terminal's width, without colours; links to pages name their command."""
    from rich.console import Console

    from modeldyno.base.command.plain_markdown import PlainMarkdown

    width = min(_MOST_COLUMNS, shutil.get_terminal_size((_MOST_COLUMNS, 24)).columns)
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    page = PlainMarkdown(_LINK.sub(r"\1 (`dyno docs \2`)", text), hyperlinks=False)
    console.print(page, crop=False)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n")
