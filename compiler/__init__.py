"""Compiles models for CPUs and GPUs with TVM: `compile_model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modeldyno.compiler.models import compile_model
    from modeldyno.compiler.options import Options

__all__ = ["Options", "compile_model"]


def __getattr__(name: str) -> Any:
    """Import on first use: `import compiler` stays light."""
    if name == "compile_model":
        from modeldyno.compiler.models import compile_model

        return compile_model
    if name == "Options":
        from modeldyno.compiler.options import Options

        return Options
    raise AttributeError(f"module 'compiler' has no attribute {name!r}")
