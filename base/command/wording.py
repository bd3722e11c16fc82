"""What a library says of its settings, in the words of a command: its flags.

A library's message names a setting in backticks, `max_batch` or `max_batch=8`. A command that has such an
option shows `--max-batch` in its place.
"""

from __future__ import annotations

import re

import click

from modeldyno.base.errors import DynoError

_NAMED = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]+))?`")


def message_of(error: DynoError, command: click.Command | None) -> str:
    """Return an error's message and hint; the setting that it is about comes first if it is not named."""
    flag = _flags(command).get(error.field or "")
    message, text = (with_flags(each, command) for each in (error.message, str(error)))
    return text if flag is None or flag in message else f"{flag}: {text}"


def with_flags(text: str, command: click.Command | None) -> str:
    """Put a command's flags in the place of the settings that a text names; other words in backticks stay."""
    flags = _flags(command)

    def shown(found: re.Match[str]) -> str:
        name, value = found.groups()
        if name not in flags:
            return found.group()
        if value in (None, "True", "False"):
            return flags[name]
        return f"`{flags[name]} {value.strip(chr(34))}`"

    return _NAMED.sub(shown, text)


def _flags(command: click.Command | None) -> dict[str, str]:
    """Return the long name of each option, by its parameter."""
    options = [each for each in command.params if isinstance(each, click.Option)] if command else []
    return {
        option.name: next((name for name in option.opts if name.startswith("--")), option.opts[0])
        for option in options
        if option.name
    }
