"""Which configuration to run a model on, measured: what users import.

`modeldyno.compile_model`, `modeldyno.Session`, `modeldyno.recommend` and `modeldyno.judge` are loaded when
they are first used. `judge` is the whole of `dyno gate`; `modeldyno.gate` is the room that it comes from.
The rooms are folders at the root of the repository, and links in here. Nothing in them imports this module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modeldyno.compiler.models import compile_model
    from modeldyno.compiler.options import Options
    from modeldyno.gate.options import GateOptions
    from modeldyno.gate.run import gate as judge
    from modeldyno.recommender.run import recommend
    from modeldyno.runtime.open import Session

__all__ = ["GateOptions", "Options", "Session", "compile_model", "judge", "recommend"]

_PLACES = {
    "GateOptions": ("gate.options", "GateOptions"),
    "Options": ("compiler.options", "Options"),
    "Session": ("runtime.open", "Session"),
    "compile_model": ("compiler.models", "compile_model"),
    "judge": ("gate.run", "gate"),
    "recommend": ("recommender.run", "recommend"),
}


def __getattr__(name: str) -> Any:
    """Import on first use: `import modeldyno` stays light."""
    if name not in _PLACES:
        raise AttributeError(f"module 'modeldyno' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(f"modeldyno.{module}"), attribute)
