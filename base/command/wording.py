"""What a library says of its settings, in the words of a command: its flags.

A library's message names a setting in backticks, `max_batch` or `max_batch=8`. A command that has such an
option shows `--max-batch` in its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

from modeldyno.base.errors import DynoError

_NAMED = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]+))?`")


def message_of(error: DynoError, command: click.Command | None) -> str:
    """Return an error's message and hint; the setting that it is about comes first if it is not named."""
    flags = flags_by_name(command)
    flag = flags.get(error.field or "")
    text = with_flags(str(error), flags)
    return text if flag is None or flag in text else f"{flag}: {text}"


def with_flags(text: str, flags: Mapping[str, str]) -> str:
    """Put flags, by setting, in the place of the settings that a text names; other backticks stay."""

    def shown(found: re.Match[str]) -> str:
        name, value = found.groups()
        if name not in flags:
            return found.group()
        if value in (None, "True", "False"):
            return flags[name]
        return f"`{flags[name]} {value.strip(chr(34))}`"

    return _NAMED.sub(shown, text)


def flags_by_name(command: click.Command | None) -> dict[str, str]:
    """Return the long name of each option of a command, by its parameter."""
    options = [each for each in command.params if isinstance(each, click.Option)] if command else []
    return {
        option.name: next((name for name in option.opts if name.startswith("--")), option.opts[0])
        for option in options
        if option.name
    }
