"""The flag --cpus, as several commands take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.base.errors import ConfigError

if TYPE_CHECKING:
    import click


def parse_cores(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Turn `0,1` into core numbers, each once and sorted; None stays None.

    Raises:
        ConfigError: something in it is no whole number.
    """
    if value is None:
        return None
    try:
        return tuple(sorted({int(part) for part in value.split(",")}))
    except ValueError as error:
        raise ConfigError(f"--cpus {value}: expected core numbers with commas, e.g. 0,1") from error
