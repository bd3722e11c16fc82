"""The setting `cpus`, as several commands take it."""

from __future__ import annotations

from modeldyno.base.errors import ConfigError


def core_numbers(text: str) -> tuple[int, ...]:
    """Turn `0,1` into core numbers, each once and sorted.

    Raises:
        ConfigError: something in it is no whole number.
    """
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise ConfigError(
            f"`cpus` {text}: expected core numbers with commas, e.g. 0,1", field="cpus"
        ) from error


def own_core_numbers(text: str) -> tuple[int, ...]:
    """The same, of cores that this process may use.

    Raises:
        ConfigError: something in it is no whole number, or a core that is not this process's.
    """
    from modeldyno.base.host.facts import (
        usable_cores,  # here: commands read options before anything is loaded
    )

    cores, usable = core_numbers(text), usable_cores()
    if not set(cores) <= set(usable):
        raise ConfigError(
            f"`cpus` {text}: this process may use the cores {','.join(map(str, usable))} only", field="cpus"
        )
    return cores
