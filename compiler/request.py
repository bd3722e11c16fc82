"""What is compiled, for what and how: asked for once, and handed down as one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.options import Options
from modeldyno.compiler.targets.catalog import CompileTarget, runs_here
from modeldyno.compiler.watch import UNWATCHED, Watch

if TYPE_CHECKING:
    from modeldyno.compiler.model.onnx_graph import OnnxGraph


@dataclass(frozen=True)
class CompileRequest:
    """One compile: a model, a target, the user's choices, and who hears of it."""

    source: Source
    target: CompileTarget
    options: Options
    watch: Watch = UNWATCHED

    @cached_property
    def graph(self) -> OnnxGraph | None:
        """The model's ONNX graph; None where the source is no ONNX model."""
        if self.source.model is None:
            return None
        from modeldyno.compiler.model.onnx_graph import OnnxGraph

        return OnnxGraph(self.source.model)

    @property
    def runs_here(self) -> bool:
        """Whether this machine runs what is made."""
        return runs_here(self.target, host_facts())
