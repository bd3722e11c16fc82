"""The flag `--shape NAME=SIZE,SIZE,…`, as several commands take it."""

from __future__ import annotations

from collections.abc import Iterable

from modeldyno.base.errors import ConfigError


def split_shapes(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Take `name=1,3,224,224` texts apart: the sizes, as texts, by input name.

    Raises:
        ConfigError: a text has no name, or one is given twice.
    """
    shapes: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, sign, sizes = text.rpartition("=")
        if not sign or not name:
            raise ConfigError(f"--shape {text}: expected NAME=SIZE,SIZE,…, e.g. image=1,3,224,224")
        if name in shapes:
            raise ConfigError(f"--shape {name} is given twice")
        shapes[name] = tuple(sizes.split(",")) if sizes else ()
    return shapes


def fixed_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Read `name=1,3,224,224` texts in which every size is one number.

    Raises:
        ConfigError: as `split_shapes`, or a size is no positive whole number.
    """
    return {name: tuple(_number(name, size) for size in sizes) for name, sizes in split_shapes(texts).items()}


def _number(name: str, text: str) -> int:
    if not (text.strip().isdecimal() and text.isascii() and 0 < int(text) < 1 << 40):
        raise ConfigError(
            f"--shape {name}: {text!r} is no size; expected positive whole numbers, e.g. 8,3,224,224"
        )
    return int(text)
