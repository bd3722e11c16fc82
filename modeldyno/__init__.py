"""Which configuration to run a model on, measured: what users import.

`modeldyno.compile_model`, `modeldyno.Session` and `modeldyno.recommend` are loaded when they are first used.
The rooms are folders at the root of the repository, and links in here. Nothing in them imports this module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modeldyno.compiler.models import compile_model
    from modeldyno.compiler.options import Options
    from modeldyno.recommender.run import recommend
    from modeldyno.runtime.open import Session

__all__ = ["Options", "Session", "compile_model", "recommend"]

_PLACES = {
    "Options": "compiler.options",
    "Session": "runtime.open",
    "compile_model": "compiler.models",
    "recommend": "recommender.run",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `import modeldyno` stays light."""
    if name not in _PLACES:
        raise AttributeError(f"module 'modeldyno' has no attribute {name!r}")
    return getattr(import_module(f"modeldyno.{_PLACES[name]}"), name)
