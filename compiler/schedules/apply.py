"""Applying the rules: the first that answers wins; the last always does, or TVM's own order stays."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tvm import tirx
from tvm.error import InternalError
from tvm.s_tir import ScheduleError

from compiler.schedules.bands import winograd_bands
from compiler.schedules.common import SCHEDULED
from compiler.schedules.generic import per_block
from compiler.schedules.grouped_rule import grouped_walk
from compiler.schedules.machine import Machine
from compiler.schedules.pool import pool_window
from compiler.schedules.rows import row_program
from compiler.schedules.tile import register_tile

Rule = Callable[[Any, Machine], Any]
RULES: tuple[Rule, ...] = (
    *(register_tile, grouped_walk, winograd_bands, row_program, pool_window),
    per_block,
)


def schedule_all(mod: Any, machine: Machine) -> Any:
    """Schedule every tensor program of the module."""
    scheduled = {}
    for name, func in mod.functions_items():
        if isinstance(func, tirx.PrimFunc) and SCHEDULED not in (func.attrs or {}):
            scheduled[name] = _schedule(func, machine)
    for name, func in scheduled.items():
        mod[name] = func
    return mod


def _schedule(func: Any, machine: Machine) -> Any:
    answer = None
    for rule in RULES:
        # Where TVM refuses the order that a rule asks for, the next rule or TVM's own order is right.
        with suppress(ScheduleError, InternalError):
            answer = rule(func, machine)
        if answer is not None:
            return answer.with_attrs(dict(func.attrs)) if func.attrs else answer
    return func
