"""More than one import path from a source model into the compiler: the next is taken where one fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from modeldyno.base.errors import CompileError, ModelError, ParityError
from modeldyno.compiler.model.source import Source
from modeldyno.runtime.records.manifest import Manifest


def by_any_path(
    source: Source, compile_one: Callable[[Source], Manifest], say: Callable[[str], None]
) -> Manifest:
    """Compile by the first import path that leads to an artifact; `say` is told where one fails.

    Raises:
        CompileError: none does (a ParityError where the first gave wrong results); says why each failed.
    """
    try:
        return compile_one(source)
    except CompileError as error:
        if source.otherwise is None:
            raise
        say(f"the import path {source.road.name} failed: {error}")
        first = error
    try:
        other = source.otherwise(first)
        other = replace(other, records=source.records) if source.records else other
        say(f"trying the import path {other.road.name}")
        return by_any_path(other, compile_one, say)
    except (CompileError, ModelError) as error:
        raise _no_path(first, error) from first


def _no_path(first: CompileError, last: Exception) -> CompileError:
    message = f"{first}. Nor by way of ONNX: {last}"
    if isinstance(first, ParityError):
        return ParityError(message, stage=first.stage, target=first.target, feeds=first.feeds)
    return type(first)(message, stage=first.stage, target=first.target, operators=first.operators)
