"""What the shell offers for a value that is begun: click asks for it when completion is set up.

Nothing is imported before it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Complete = Callable[[str], Iterable[str]]
ShellComplete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def completing(complete: Complete) -> ShellComplete:
    """Make of it what click wants."""

    def offer(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(value) for value in complete(begun)]

    return offer


def files_ending(*endings: str) -> ShellComplete:
    """Offer files with these endings, and folders that may lead to some; any file where there are none."""

    def offer(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
        found = list(_found(begun, endings))
        if not any(item.endswith(endings) for item in found):
            return [CompletionItem(begun, type="file")]
        return [CompletionItem(item) for item in found]

    return offer


def _found(begun: str, endings: tuple[str, ...]) -> Iterable[str]:
    typed, _, start = begun.rpartition("/")
    folder = typed + "/" if "/" in begun else ""
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith(".")):
            if entry.is_dir():
                yield f"{folder}{entry.name}/"
            elif entry.name.endswith(endings):
                yield folder + entry.name
