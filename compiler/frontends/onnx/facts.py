"""What an ONNX model says of its inputs, asked for once and only where a check wants it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from modeldyno.compiler.model.input_roles import Facts

if TYPE_CHECKING:
    import onnx


def input_facts(model: onnx.ModelProto) -> Callable[[], Facts]:
    """Make what tells of a model's inputs; where its graph can't be read, nothing is known."""

    @cache
    def facts() -> Facts:
        from modeldyno.compiler.frontends.onnx.roles import onnx_facts
        from modeldyno.compiler.model.onnx_graph import OnnxGraph

        try:
            return onnx_facts(OnnxGraph(model))
        except (LookupError, ValueError, TypeError):  # a custom operator by a known name, say
            return Facts()

    return facts
